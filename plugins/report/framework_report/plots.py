"""Plots of a backtest with matplotlib, without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from framework.data.arrays import Float64, Rows, Times
from framework.evaluation.result import BacktestResult
from framework_report.figures import Intervals, SeriesErrors

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
COLUMNS = 3
_SIZE = 8.5
#: Inches. Margins are set by hand: laying 18 panels out automatically takes longer than drawing
#: them.
_WIDTH, _PANEL, _LEGEND = 11.0, 1.6, 0.28
#: Characters that fit above a small panel, and of a target above one of two panels in a row.
_PANEL_CHARACTERS, _TARGET = 46, 44


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.set_facecolor("none")
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SIZE - 1, labelcolor=MUTED)
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
            fontsize=_SIZE + 1,
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
                    fontsize=_SIZE,
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
            x = _days(one.origins)
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
                fontsize=_SIZE,
            )
        _bare(axes)
        axes.set_ylim(
            min(50, 100 * min(one.by_origin.min() for one in levels) - 4) if levels else 0, 101
        )
        if levels:
            axes.set_xticks(*_origin_ticks(levels[0].origins))
        axes.set_title(
            f"{shortened(target, _TARGET)}: coverage by origin, %",
            fontsize=_SIZE + 1,
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


def panel_titles(errors: SeriesErrors, picks: Rows) -> dict[str, str]:
    """Of the panels whose series has a name that is too long for it: what stands above the panel,
    and the name.
    """
    titles = {_panel_title(errors, int(series)): errors.names[series] for series in picks}
    return {short: name for short, name in titles.items() if short != name}


def _panel_title(errors: SeriesErrors, series: int) -> str:
    """The name of a series as it fits beside the caption of its panel."""
    room = _PANEL_CHARACTERS - len(_caption(errors, series))
    return shortened(errors.names[series], max(room, 12))


def _side_by_side(count: int) -> tuple[Figure, np.ndarray]:
    """A figure with room for so many panels, two in a row."""
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH, 2.9 * rows), layout="constrained")
    panels: np.ndarray = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels


def series_grid(
    result: BacktestResult, target: int, errors: SeriesErrors, picks: Rows, baseline: str
) -> Figure:
    """Forecast against actual, a panel a series: all origins in a row, the quantile band behind the
    mean.
    """
    rows = -(-len(picks) // COLUMNS)
    height = _PANEL * rows + _LEGEND
    figure = Figure(figsize=(_WIDTH, height))
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(
        0.035, 0.25 / height, 0.995, 1 - (_LEGEND + 0.2) / height, wspace=0.17, hspace=0.42
    )
    span = _days(np.array([result.origins.min(), result.times.max()]))
    ticks, labels = _origin_ticks(result.origins)
    for axes, series in zip(panels, picks, strict=False):
        _one_series(axes, result, target, np.flatnonzero(errors.rows == series))
        axes.text(
            0,
            1.05,
            _panel_title(errors, int(series)),
            transform=axes.transAxes,
            fontsize=_SIZE,
            color=INK,
            fontweight="bold",
        )
        axes.text(
            1,
            1.05,
            _caption(errors, int(series)),
            transform=axes.transAxes,
            fontsize=_SIZE - 1,
            color=MUTED,
            ha="right",
        )
        axes.set_xlim(span[0] - 0.01 * np.ptp(span), span[1] + 0.01 * np.ptp(span))
        axes.set_xticks(ticks, labels)
    for axes in panels[len(picks) :]:
        axes.set_visible(False)
    low, *_, high = result.schema.quantiles or (None, None)
    handles = [
        Line2D([], [], color=INK, linewidth=1.2, label="actual"),
        Line2D([], [], color=MODEL, linewidth=1.6, label="forecast"),
        Line2D([], [], color=BASELINE, linewidth=1, linestyle=(0, (3, 2)), label=baseline),
    ]
    if low is not None and high is not None and low < high:
        handles.insert(2, Patch(color=BAND, label=f"{low:g} to {high:g} quantile"))  # type: ignore[arg-type]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.025, 1.0),
        borderaxespad=0,
        ncols=len(handles),
        frameon=False,
        fontsize=_SIZE,
        labelcolor=INK,
    )
    return figure


def _caption(errors: SeriesErrors, series: int) -> str:
    parts = [
        (name, values[series]) for name, values in (("MASE", errors.mase), ("WAPE", errors.wape))
    ]
    return " · ".join(f"{name} {value:.2f}" for name, value in parts if np.isfinite(value))


def _one_series(axes: Axes, result: BacktestResult, target: int, windows: Rows) -> None:
    windows = windows[np.argsort(result.origins[windows], kind="stable")]
    times, n = result.times[windows], len(windows)
    unique, first = np.unique(times.ravel(), return_index=True)
    axes.plot(
        *_broken(unique, result.actual[windows, :, target].ravel()[first]),
        color=INK,
        linewidth=1.1,
        zorder=3,
    )
    gap = np.full((n, 1), np.nan)
    x = np.concatenate([_days(times), gap], axis=1).ravel()

    def apart(values: Float64) -> Float64:
        """Windows of different origins are not joined by a line."""
        return np.concatenate([values, gap], axis=1).ravel()

    axes.plot(
        x,
        apart(result.baseline[windows, :, target]),
        color=BASELINE,
        linewidth=0.9,
        linestyle=(0, (3, 2)),
        zorder=2,
    )
    if len(result.schema.quantiles) >= 2:
        low, high = (apart(result.forecast[windows, :, target, q]) for q in (1, -1))
        axes.fill_between(x, low, high, color=BAND, linewidth=0, zorder=1)
    marker = "." if result.schema.horizon == 1 else ""
    axes.plot(
        x,
        apart(result.forecast[windows, :, target, 0]),
        color=MODEL,
        linewidth=1.6,
        marker=marker,
        zorder=4,
    )
    _bare(axes)


def _days(times: Times) -> Float64:
    return times.astype("M8[us]").astype(np.float64) / 86_400e6


def _broken(times: Times, values: Float64) -> tuple[Float64, Float64]:
    """The line of sorted times, with a null where the folds leave time out."""
    x = _days(times)
    step = np.diff(x)
    if not len(step):
        return x, values
    cuts = (
        np.flatnonzero(step > 1.5 * step.min() + 2 * (step.min() > 27)) + 1
    )  # months differ by up to three days
    return np.insert(x, cuts, np.nan), np.insert(values, cuts, np.nan)


def _origin_ticks(origins: Times) -> tuple[Float64, list[str]]:
    """At most three origins, evenly spaced where the origins are, as days and as text."""
    unique = np.unique(origins)
    ticks = unique[:: -(-len(unique) // 3)]
    daily = bool((ticks.astype("M8[D]") == ticks).all())
    return _days(ticks), [
        str(t.astype("M8[D]" if daily else "M8[m]")).replace("T", " ") for t in ticks
    ]
