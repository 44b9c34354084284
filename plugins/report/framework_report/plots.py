"""Plots of a backtest with matplotlib, without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from framework.data.arrays import Float64, Times
from framework_report.figures import Intervals

#: Colours by what they mean; :mod:`framework_report.svg` turns them into the page's own, light or
#: dark.
INK, MUTED, GRID, MODEL, BAND, BASELINE = (
    "#1b2430",
    "#66707d",
    "#e3e7ec",
    "#1f5fd0",
    "#c9dafa",
    "#c2691c",
)
#: Points of a text, and inches of a figure.
SIZE, WIDTH = 8.5, 11.0
#: Characters of a target that fit above one of two panels in a row.
_TARGET = 44


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.set_facecolor("none")
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=SIZE - 1, labelcolor=MUTED)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def error_by_step(errors: dict[str, dict[str, list[float]]], baseline: str) -> Figure:
    """MAE of each step ahead, one panel a target, from zero."""
    figure, panels = _side_by_side(len(errors))
    for axes, (target, sides) in zip(panels, errors.items(), strict=False):
        steps = np.arange(1, len(sides["model"]) + 1)
        marker = "o" if len(steps) <= 31 else ""
        axes.plot(
            steps,
            sides["baseline"],
            color=BASELINE,
            linewidth=1.4,
            linestyle=(0, (4, 2)),
            marker=marker,
            markersize=3,
        )
        axes.plot(steps, sides["model"], color=MODEL, linewidth=2, marker=marker, markersize=4)
        _bare(axes)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_title(
            f"{shortened(target, _TARGET)}: MAE by steps ahead",
            fontsize=SIZE + 1,
            color=INK,
            loc="left",
        )
        top = axes.get_ylim()[1]
        lasts = (sides["model"][-1], sides["baseline"][-1])
        label_shift = (
            0 if abs(lasts[0] - lasts[1]) > 0.07 * top else 5 if lasts[0] > lasts[1] else -5
        )
        for name, last, color, shift in (
            ("model", lasts[0], MODEL, label_shift),
            (baseline, lasts[1], BASELINE, -label_shift),
        ):
            if np.isfinite(last):
                axes.annotate(
                    name,
                    (steps[-1], last),
                    (6, shift),
                    "data",
                    "offset points",
                    color=color,
                    fontsize=SIZE,
                    va="center",
                )
    return figure


def coverage_by_origin(coverage: dict[str, list[Intervals]]) -> Figure:
    """The share of actuals inside each origin's intervals, one panel a target; the level is the
    dotted line of the same shade.
    """
    figure, panels = _side_by_side(len(coverage))
    for axes, (target, levels) in zip(panels, coverage.items(), strict=False):
        for one, color in zip(levels, (MODEL, INK), strict=False):
            x = days(one.origins)
            axes.axhline(one.level, color=color, linewidth=0.9, linestyle=(0, (1, 2)))
            axes.plot(
                x,
                100 * one.by_origin,
                color=color,
                linewidth=1.6,
                marker="o" if len(x) <= 60 else "",
                markersize=4,
            )
            axes.annotate(
                f"{one.level:g} %",
                (x[-1], 100 * one.by_origin[-1]),
                (7, 0),
                "data",
                "offset points",
                color=color,
                fontsize=SIZE,
            )
        _bare(axes)
        axes.set_ylim(
            min(50, 100 * min(one.by_origin.min() for one in levels) - 4) if levels else 0, 101
        )
        if levels:
            axes.set_xticks(*origin_ticks(levels[0].origins))
        axes.set_title(
            f"{shortened(target, _TARGET)}: coverage by origin, %",
            fontsize=SIZE + 1,
            color=INK,
            loc="left",
        )
    return figure


def shortened(name: str, limit: int) -> str:
    """The name, or its beginning and its end where it is longer than ``limit`` characters."""
    if len(name) <= limit:
        return name
    end = limit // 4
    return f"{name[: limit - end - 1].rstrip()}…{name[-end:].lstrip()}"


def _side_by_side(count: int) -> tuple[Figure, np.ndarray]:
    """A figure with room for so many panels, two in a row."""
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 2.9 * rows), layout="constrained")
    panels: np.ndarray = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels


def days(times: Times) -> Float64:
    """Times as a number of days."""
    return times.astype("M8[us]").astype(np.float64) / 86_400e6


def origin_ticks(origins: Times) -> tuple[Float64, list[str]]:
    """At most three origins, evenly spaced where the origins are, as days and as text."""
    unique = np.unique(origins)
    ticks = unique[:: -(-len(unique) // 3)]
    daily = bool((ticks.astype("M8[D]") == ticks).all())
    return days(ticks), [
        str(t.astype("M8[D]" if daily else "M8[m]")).replace("T", " ") for t in ticks
    ]
