"""The panels of the report: all in one axes, each with its own scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from framework_report.figures import series_errors
from framework_report.plots import INK, MODEL, days
from framework_report.series_plots import COLUMNS, series_grid
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from report_cases import make_result

from framework.data.arrays import Float64
from framework.evaluation.result import BacktestResult


def drawn(result: BacktestResult) -> Figure:
    errors = series_errors(result, 0)
    return series_grid(result, 0, errors, errors.worst_first(), "mean")


def line(figure: Figure, color: str) -> Line2D:
    (found,) = [line for line in figure.axes[0].lines if line.get_color() == color]
    return found


def parts(found: Line2D) -> list[Float64]:
    """The heights of the pieces between two nulls."""
    y = np.asarray(found.get_ydata(), dtype=np.float64)
    whole = np.split(y, np.flatnonzero(np.isnan(y)))
    return [piece[~np.isnan(piece)] for piece in whole if not np.isnan(piece).all()]


def test_a_value_lies_where_the_ticks_of_its_panel_say() -> None:
    result = make_result(series=4, folds=2)
    figure, errors = drawn(result), series_errors(result, 0)
    texts = [(t.get_text(), *t.get_position()) for t in figure.axes[0].texts]
    ends = [i for i, (text, _, _) in enumerate(texts) if "WAPE" in text]
    forecasts = iter(parts(line(figure, MODEL)))
    for place, series in zip(ends, errors.worst_first(), strict=True):
        assert texts[place - 1][0] == errors.names[series]
        left = texts[place + 1][1]
        ticks = [(float(t.replace("\N{MINUS SIGN}", "-")), y) for t, x, y in texts if x == left]
        above = texts[place - 1][2]
        ticks = [(value, y) for value, y in ticks if above - 1.5 < y < above]
        (low, bottom), (high, top) = ticks[0], ticks[-1]
        for window in np.flatnonzero(errors.rows == series):
            expected = result.forecast[window, :, 0, 0]
            values = low + (next(forecasts) - bottom) / (top - bottom) * (high - low)
            np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6 * (high - low))
    assert next(forecasts, None) is None


def test_windows_are_not_joined_and_unknown_steps_are_left_out() -> None:
    result = make_result(series=2, folds=3)
    forecast = result.forecast.copy()
    forecast[0, 1] = np.nan
    holed = drawn(replace(result, forecast=forecast))
    horizon = result.schema.horizon
    whole, rest = divmod(sum(map(len, parts(line(holed, MODEL)))), horizon)
    assert (whole, rest) == (len(result.entities) - 1, horizon - 1)
    band = holed.axes[0].patches[0].get_path()
    assert len(band.vertices) < len(drawn(result).axes[0].patches[0].get_path().vertices)
    actual = line(holed, INK).get_xdata()
    assert len(parts(line(holed, MODEL))) > len(parts(line(holed, INK)))
    assert np.nanmax(np.asarray(actual, dtype=np.float64)) <= holed.get_figwidth()


@pytest.mark.parametrize(
    ("size", "shown"), [(1.0, "1.6"), (1e9, "1.6e+09"), (1e-9, "1.6e\N{MINUS SIGN}09")]
)
def test_ticks_need_no_factor_beside_them(size: float, shown: str) -> None:
    result = make_result(series=1, folds=1)
    steps = np.linspace(1.0, 2.0, result.schema.horizon) * size
    ramp = np.broadcast_to(steps[None, :, None], result.actual.shape)
    figure = drawn(
        replace(
            result,
            actual=ramp,
            baseline=ramp,
            forecast=np.broadcast_to(ramp[..., None], result.forecast.shape),
        )
    )
    assert shown in [text.get_text() for text in figure.axes[0].texts]


def test_panels_stand_beside_each_other_and_do_not_overlap() -> None:
    figure = drawn(make_result(series=COLUMNS + 1, folds=2))
    texts = [t for t in figure.axes[0].texts if "WAPE" in t.get_text()]
    rights, tops = zip(*(t.get_position() for t in texts), strict=True)
    assert len({round(x, 6) for x in rights}) == COLUMNS
    assert len({round(y, 6) for y in tops}) == 2
    assert max(rights) < figure.get_figwidth()
    assert days(np.array(["1970-01-03"], dtype="M8[us]"))[0] == 2
