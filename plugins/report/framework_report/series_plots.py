"""Forecast against actual, many small panels in one figure.

All panels lie in one axes that covers the figure, in inches. Axes of their own, with ticks of their
own, would take matplotlib three times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from framework.data.arrays import Flags, Float64, Rows, Times
from framework.evaluation.result import BacktestResult
from framework_report.figures import SeriesErrors
from framework_report.plots import (
    BAND,
    BASELINE,
    GRID,
    INK,
    MODEL,
    MUTED,
    SIZE,
    WIDTH,
    days,
    origin_ticks,
    shortened,
)

COLUMNS = 3
#: Inches: the height of a panel with what is above it, and of the legend.
_PANEL, _LEGEND = 1.6, 0.28
#: Inches of the margins of the figure.
_LEFT, _RIGHT, _BOTTOM, _ABOVE = 0.385, 0.055, 0.25, 0.2
#: Between two panels, as a share of a panel; between a tick's label and its panel, in inches.
_GAP_X, _GAP_Y, _PAD = 0.17, 0.42, 3.5 / 72
#: Characters that fit above a small panel.
_CHARACTERS = 46


@dataclass(slots=True)
class _Lines:
    """Lines of one look, of all panels."""

    xs: list[Float64] = field(default_factory=list)
    ys: list[Float64] = field(default_factory=list)

    def add(self, x: Float64, y: Float64) -> None:
        """Add a line, which is joined to no other. It ends and begins again at a null."""
        self.xs += [x, np.array([np.nan])]
        self.ys += [y, np.array([np.nan])]

    def draw(self, axes: Axes, **look: object) -> None:
        if self.xs:
            axes.add_line(Line2D(np.concatenate(self.xs), np.concatenate(self.ys), **look))  # type: ignore[arg-type]


@dataclass(slots=True)
class _Drawn:
    """The lines and bands of all panels, by their look."""

    grid: _Lines = field(default_factory=_Lines)
    floor: _Lines = field(default_factory=_Lines)
    actual: _Lines = field(default_factory=_Lines)
    forecast: _Lines = field(default_factory=_Lines)
    baseline: _Lines = field(default_factory=_Lines)
    bands: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Panel:
    """A panel: its place in inches, and the values at its edges."""

    left: float
    bottom: float
    width: float
    height: float
    span: tuple[float, float]
    limits: tuple[float, float]

    def x(self, values: Float64) -> Float64:
        first, last = self.span
        return self.left + (values - first) / (last - first) * self.width

    def y(self, values: Float64) -> Float64:
        low, high = self.limits
        return self.bottom + (values - low) / (high - low) * self.height


@dataclass(frozen=True, slots=True)
class _Series:
    """The windows of a series, oldest first, null where nothing is known: ``[n, H]``."""

    times: Times
    actual: Float64
    forecast: Float64
    baseline: Float64
    band: tuple[Float64, Float64] | None

    @classmethod
    def of(cls, result: BacktestResult, target: int, windows: Rows) -> _Series:
        order = windows[np.argsort(result.origins[windows], kind="stable")]
        values = result.forecast[order, :, target]
        band = (values[..., 1], values[..., -1]) if len(result.schema.quantiles) >= 2 else None
        return cls(
            result.times[order],
            result.actual[order, :, target],
            values[..., 0],
            result.baseline[order, :, target],
            band,
        )

    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value, with a margin."""
        parts = [self.actual, self.forecast, self.baseline, *(self.band or ())]
        values = np.concatenate([part.ravel() for part in parts])
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        low, high = MaxNLocator(3).nonsingular(low, high)
        margin = 0.05 * (high - low)
        return low - margin, high + margin


def panel_titles(errors: SeriesErrors, picks: Rows) -> dict[str, str]:
    """Of the panels whose series has a name that is too long for it: what stands above the panel,
    and the name.
    """
    titles = {_title(errors, int(series)): errors.names[series] for series in picks}
    return {short: name for short, name in titles.items() if short != name}


def series_grid(
    result: BacktestResult, target: int, errors: SeriesErrors, picks: Rows, baseline: str
) -> Figure:
    """Forecast against actual, a panel a series: all origins in a row, the quantile band behind the
    mean.
    """
    rows = -(-len(picks) // COLUMNS)
    height = _PANEL * rows + _LEGEND
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    first, last = days(np.array([result.origins.min(), result.times.max()]))
    spare = 0.01 * (last - first)
    places = _places(rows, height)
    ticks = origin_ticks(result.origins)
    drawn = _Drawn()
    for place, series in zip(places, picks, strict=False):
        one = _Series.of(result, target, np.flatnonzero(errors.rows == series))
        panel = _Panel(*place, (first - spare, last + spare), one.limits())
        _add(drawn, panel, one)
        _write(
            axes, drawn, panel, ticks, _title(errors, int(series)), _caption(errors, int(series))
        )
    _draw(axes, drawn, "." if result.schema.horizon == 1 else "")
    _explain(figure, result.schema.quantiles, baseline)
    return figure


def _places(rows: int, height: float) -> Iterator[tuple[float, float, float, float]]:
    """Left, bottom, width and height of each panel, row by row from the top."""
    width = (WIDTH - _LEFT - _RIGHT) / (COLUMNS + _GAP_X * (COLUMNS - 1))
    tall = (height - _BOTTOM - _LEGEND - _ABOVE) / (rows + _GAP_Y * (rows - 1))
    for row in range(rows):
        bottom = _BOTTOM + (rows - 1 - row) * tall * (1 + _GAP_Y)
        for column in range(COLUMNS):
            yield _LEFT + column * width * (1 + _GAP_X), bottom, width, tall


def _add(drawn: _Drawn, panel: _Panel, one: _Series) -> None:
    """Add the lines of a series. Windows of different origins are not joined, nor is what lies
    between two folds.
    """
    unique, first = np.unique(one.times.ravel(), return_index=True)
    x, actual = _broken(unique, one.actual.ravel()[first])
    drawn.actual.add(panel.x(x), panel.y(actual))
    steps = panel.x(days(one.times))
    for window in range(len(steps)):
        drawn.baseline.add(steps[window], panel.y(one.baseline[window]))
        drawn.forecast.add(steps[window], panel.y(one.forecast[window]))
    if one.band is None:
        return
    low, high = (panel.y(edge) for edge in one.band)
    known = np.isfinite(low) & np.isfinite(high)
    for window in range(len(steps)):
        for run in _runs(known[window]):
            edge = steps[window, run]
            outline = np.concatenate(
                [
                    np.stack([edge, low[window, run]], axis=1),
                    np.stack([edge, high[window, run]], axis=1)[::-1],
                ]
            )
            drawn.bands.append(Path(np.vstack([outline, outline[:1]]), closed=True))


def _runs(known: Flags) -> list[slice]:
    """The places that are known, together where they lie side by side."""
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
    return [slice(*edges[i : i + 2].tolist()) for i in range(0, len(edges), 2)]


def _write(
    axes: Axes,
    drawn: _Drawn,
    panel: _Panel,
    ticks: tuple[Float64, list[str]],
    title: str,
    caption: str,
) -> None:
    """Write what stands around a panel: its title, its ticks, and lines at these."""
    right, above = panel.left + panel.width, panel.bottom + 1.05 * panel.height
    axes.text(panel.left, above, title, fontsize=SIZE, color=INK, fontweight="bold")
    axes.text(right, above, caption, fontsize=SIZE - 1, color=MUTED, ha="right")
    edges = np.array([panel.left, right])
    drawn.floor.add(edges, np.full(2, panel.bottom))
    values = np.asarray(MaxNLocator(3).tick_values(*panel.limits), dtype=np.float64)
    values = values[(values >= panel.limits[0]) & (values <= panel.limits[1])]
    look = {"fontsize": SIZE - 1, "color": MUTED}
    for y, text in zip(panel.y(values), _labels(values, panel.limits), strict=True):
        drawn.grid.add(edges, np.full(2, y))
        axes.text(panel.left - _PAD, y, text, ha="right", va="center_baseline", **look)  # type: ignore[arg-type]
    for x, text in zip(panel.x(ticks[0]), ticks[1], strict=True):
        axes.text(x, panel.bottom - _PAD, text, ha="center", va="top", **look)  # type: ignore[arg-type]


def _labels(values: Float64, limits: tuple[float, float]) -> list[str]:
    """Ticks as texts that need no factor or offset beside them."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.create_dummy_axis()
    formatter.axis.set_view_interval(*limits)  # type: ignore[union-attr]
    texts = formatter.format_ticks(values.tolist())
    for digits in (3, 6, 17) if formatter.get_offset() else ():
        texts = [f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}") for value in values]
        if len({*texts}) == len(texts):
            break
    return texts


def _draw(axes: Axes, drawn: _Drawn, marker: str) -> None:
    drawn.grid.draw(axes, color=GRID, linewidth=0.7, zorder=0.5)
    drawn.floor.draw(axes, color=GRID, linewidth=0.8, zorder=2.5)
    if drawn.bands:
        whole = Path.make_compound_path(*drawn.bands)
        axes.add_patch(PathPatch(whole, facecolor=BAND, linewidth=0, zorder=1))
    dashes = (0, (3, 2))
    drawn.baseline.draw(axes, color=BASELINE, linewidth=0.9, linestyle=dashes, zorder=2)
    drawn.actual.draw(axes, color=INK, linewidth=1.1, zorder=3)
    drawn.forecast.draw(axes, color=MODEL, linewidth=1.6, marker=marker, zorder=4)


def _explain(figure: Figure, quantiles: Sequence[float], baseline: str) -> None:
    """Write what each colour means."""
    low, *_, high = quantiles or (None, None)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=1.2, label="actual"),
        Line2D([], [], color=MODEL, linewidth=1.6, label="forecast"),
        Line2D([], [], color=BASELINE, linewidth=1, linestyle=(0, (3, 2)), label=baseline),
    ]
    if low is not None and high is not None and low < high:
        handles.insert(2, Patch(color=BAND, label=f"{low:g} to {high:g} quantile"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.025, 1.0),
        borderaxespad=0,
        ncols=len(handles),
        frameon=False,
        fontsize=SIZE,
        labelcolor=INK,
    )


def _title(errors: SeriesErrors, series: int) -> str:
    """The name of a series as it fits beside the caption of its panel."""
    room = _CHARACTERS - len(_caption(errors, series))
    return shortened(errors.names[series], max(room, 12))


def _caption(errors: SeriesErrors, series: int) -> str:
    parts = [
        (name, values[series]) for name, values in (("MASE", errors.mase), ("WAPE", errors.wape))
    ]
    return " · ".join(f"{name} {value:.2f}" for name, value in parts if np.isfinite(value))


def _broken(times: Times, values: Float64) -> tuple[Float64, Float64]:
    """The line of sorted times, with a null where the folds leave time out."""
    x = days(times)
    step = np.diff(x)
    if not len(step):
        return x, values
    cuts = (
        np.flatnonzero(step > 1.5 * step.min() + 2 * (step.min() > 27)) + 1
    )  # months differ by up to three days
    return np.insert(x, cuts, np.nan), np.insert(values, cuts, np.nan)
