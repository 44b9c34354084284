"""The report of a small real backtest: fakes fitted fold by fold, then read back from the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import framework_report
import numpy as np
import pytest
from framework_report.figures import (
    SPREAD,
    WORST,
    calibration,
    choose_series,
    intervals,
    metric_groups,
    series_errors,
)
from framework_report.page import change, number, taken_lines, when
from report_cases import make_result, make_run, write_report

from framework.evaluation.result import BacktestResult


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return make_result()


def test_nothing_is_written_without_a_backtest(tmp_path: Path) -> None:
    assert framework_report.report(make_run(tmp_path, None)) is None
    assert list(tmp_path.iterdir()) == []


def test_page_shows_the_figures_of_the_backtest(tmp_path: Path, result: BacktestResult) -> None:
    page = write_report(tmp_path, result)
    for sides in result.metrics().values():
        for figures in sides.values():
            for value in figures.values():
                assert f"<td>{number(value)}</td>" in page
    for fold in range(3):
        value = result.metrics(result.fold == fold)["sales"]["model"]["MAE"]
        assert f"<td>{number(value)}</td>" in page
    for text in (
        "2024-01-01 to 2024-02-09",
        "160 rows",
        "commit 0123456789ab, with uncommitted changes",
        "9.8.7",
        "seed: 7",
        "run-1",
    ):
        assert text in page
    assert "shop &amp; 03" in page
    assert "<h1>tiny &lt;daily&gt;</h1>" in page


def test_metrics_are_grouped_each_once() -> None:
    groups = metric_groups(
        [
            "MAE",
            "RMSE",
            "WAPE",
            "MASE",
            "sMAPE",
            "bias",
            "RMSSE",
            "pinball",
            "WQL",
            "coverage",
            "interval_score",
            "mine",
        ]
    )
    assert groups[0] == ("in the target's unit", ["MAE", "RMSE", "bias"])
    assert groups[-1] == ("other", ["mine"])
    assert sum(len(names) for _, names in groups) == 12


def test_intervals_are_those_of_each_origin(tmp_path: Path) -> None:
    result = make_result(series=30, folds=3)
    found = intervals(result)
    page = write_report(tmp_path, result)
    for target, lines in found.items():
        assert [one.level for one in lines] == [80.0, 95.0]
        for one in lines:
            assert len(one.by_origin) == len(one.origins) == 2
            assert f"<td>{100 * one.coverage:.1f} %</td>" in page, target
    assert "Prediction intervals forward in time" in page
    assert (tmp_path / "report" / "plots" / "coverage-by-origin.png").is_file()


def test_one_origin_has_no_intervals(tmp_path: Path) -> None:
    page = write_report(tmp_path, make_result(folds=1))
    assert "Prediction intervals forward in time" not in page
    assert "The model's own quantiles" in page


def test_what_was_left_out_is_said() -> None:
    listed = {"count": 2, "series": [{"shop": "a", "town": "x"}, {"shop": "b", "town": "y"}]}
    taken = {
        "short": {"policy": "drop", "needed": 8, **listed},
        "no_forecast": {"windows": 3, "count": 25, "series": listed["series"]},
        "not_judged": 1,
    }
    assert taken_lines(taken) == [
        "2 too short to learn from (8 steps are needed) and left out: a · x, b · y",
        "3 windows have no forecast (a short history, a stale view or a missing feature), "
        "of a · x, b · y and 23 more",
        "1 have no row at any origin and are not judged",
    ]
    assert taken_lines(None) == []


def test_plots_are_artifacts_and_pictures(tmp_path: Path, result: BacktestResult) -> None:
    run = make_run(tmp_path, result)
    framework_report.report(run)
    assert run.record.artifacts == [tmp_path / "report" / "plots"]
    pictures = sorted(p.name for p in run.record.artifacts[0].iterdir())
    assert pictures == [
        "coverage-by-origin.png",
        "error-by-step.png",
        "series-0-worst.png",
        "series-1-worst.png",
    ]
    assert all((run.record.artifacts[0] / p).read_bytes().startswith(b"\x89PNG") for p in pictures)


class _Loads(HTMLParser):
    """Everything a browser would fetch, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if (
                key in ("src", "href", "xlink:href", "action", "data")
                and value
                and not value.startswith(("#", "data:"))
            ):
                self.loads.append(value)
            if key == "id" and value:
                self.ids.append(value)


def test_page_loads_nothing_and_is_the_same_twice(tmp_path: Path, result: BacktestResult) -> None:
    page = write_report(tmp_path / "a", result)
    parser = _Loads()
    parser.feed(page)
    assert parser.loads == []
    assert "http" not in page
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(parser.ids) > 50
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", page))
    assert used <= set(parser.ids)
    assert page == write_report(tmp_path / "b", result)


def test_colours_come_from_the_style_sheet(tmp_path: Path, result: BacktestResult) -> None:
    page = write_report(tmp_path, result)
    body = page[page.index("<svg") :]
    assert "var(--model)" in body
    assert "var(--ink)" in body
    assert "#1f5fd0" not in body
    assert "prefers-color-scheme: dark" in page


def test_unknown_actuals_and_forecasts_are_left_out_and_said(
    tmp_path: Path, result: BacktestResult
) -> None:
    actual, forecast = result.actual.copy(), result.forecast.copy()
    gone = np.array([entity[0] == "shop & 02" for entity in result.entities])
    actual[gone] = np.nan
    actual[0, 1] = np.nan
    forecast[1] = np.nan
    holed = replace(
        result, actual=actual, forecast=forecast, scale=np.full_like(result.scale, np.nan)
    )
    page = write_report(tmp_path, holed)
    assert "1 have no step that can be judged" in page
    assert "<td>—</td>" in page  # MASE without a scale
    assert not re.search(r"<td[^>]*>\s*(nan|inf|NaN)", page)
    errors = series_errors(holed, 0)
    assert [errors.names[i] for i in errors.worst_first()].count("shop & 02") == 0


def test_a_backtest_of_which_nothing_is_known_still_has_a_page(
    tmp_path: Path, result: BacktestResult
) -> None:
    page = write_report(tmp_path, replace(result, actual=np.full_like(result.actual, np.nan)))
    assert "0 of 0 series" in page


def test_series_errors_are_those_of_the_metrics(result: BacktestResult) -> None:
    errors = series_errors(result, 1)
    for series, name in enumerate(errors.names):
        where = np.array([entity[0] == name for entity in result.entities])
        sides = result.metrics(where)["visits"]
        assert errors.mae[series] == pytest.approx(sides["model"]["MAE"])
        assert errors.wape[series] == pytest.approx(sides["model"]["WAPE"])
        assert errors.mase[series] == pytest.approx(sides["model"]["MASE"])
        assert errors.baseline_mase[series] == pytest.approx(sides["baseline"]["MASE"])
    ranked = errors.worst_first()
    assert list(errors.mase[ranked]) == sorted(errors.mase, reverse=True)


def test_of_many_series_the_worst_and_a_spread_are_drawn(tmp_path: Path) -> None:
    page = write_report(tmp_path, make_result(series=WORST + SPREAD + 5, folds=2))
    assert f"{WORST + SPREAD} of {WORST + SPREAD + 5} series are drawn; 5 are left out" in page
    worst, spread = choose_series(np.arange(100))
    assert list(worst) == list(range(WORST))
    assert (spread[0], spread[-1], len(spread)) == (WORST, 99, SPREAD)


def test_calibration_is_the_share_below(result: BacktestResult) -> None:
    actual = np.zeros_like(result.actual)
    forecast = np.full_like(result.forecast, 1.0)
    forecast[
        : len(forecast) // 2, :, :, 1
    ] = -1.0  # the lower quantile lies above half of the actuals
    half = 1 - (len(forecast) // 2) / len(forecast)
    assert calibration(replace(result, actual=actual, forecast=forecast), 0) == [
        (0.1, pytest.approx(half)),
        (0.9, 1.0),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "—"),
        (0.0, "0"),
        (0.5079, "0.508"),
        (12.345, "12.35"),
        (1234.5, "1,234"),
        (1.2e12, "1.20e+12"),
        (-3.21, "-3.210"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_change_is_relative_to_the_baseline() -> None:
    assert change(8.0, 10.0) == "\N{MINUS SIGN}20.0 %"
    assert change(1.0, 0.0) == "—"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2024-01-01T00:00:00.000000", "2024-01-01"),
        ("2024-01-01T06:00", "2024-01-01 06:00"),
        ("2024-01-01T06:15:00.000000", "2024-01-01 06:15"),
        ("2024-01-01T00:00:30.000000", "2024-01-01 00:00:30"),
        ("2024-01-01T10:00:00.000000", "2024-01-01 10:00"),
    ],
)
def test_times_for_people(time: str, text: str) -> None:
    assert when(time) == text


def test_equal_errors_are_neither_good_nor_bad(tmp_path: Path, result: BacktestResult) -> None:
    page = write_report(tmp_path, replace(result, baseline=result.forecast[..., 0]))
    assert page.count('class="tag even"') == 2


def test_the_page_says_what_the_baseline_took(tmp_path: Path, result: BacktestResult) -> None:
    taken = (("mean", "drift"), ("mean", "seasonal_naive_7"), ("mean", "drift"))
    page = write_report(tmp_path, replace(result, choices=taken))
    assert '<td class="text">a baseline: mean</td>' in page
    assert "a baseline: drift in 2 of 3 folds, seasonal naive 7 in 1" in page
