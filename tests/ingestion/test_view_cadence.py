"""Only the primary view has a grid: any other one keeps its rows, at the times they came with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.config.sections import PanelConfig
from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.features.views import INSERTED, FeatureSet
from framework.ingestion.merging import Grid, check_whole, grid_of, merge, normal, off_grid

PANEL = PanelConfig(targets=("y",), frequency="D", horizon=1, season_length=7, gaps="insert")


def features(**prices: Any) -> FeatureSet:
    sales = {"entity": ["shop"], "columns": ["y"], "ttl": "1d"}
    other = {"entity": ["shop"], "columns": ["price"], "ttl": "7d", **prices}
    return FeatureSet.model_validate(
        {"primary": "sales", "views": {"sales": sales, "prices": other}}
    )


def rows(*times: str) -> pd.DataFrame:
    stamps = pd.DatetimeIndex(times, tz="UTC").as_unit("us")
    return pd.DataFrame({"shop": "a", TIME: stamps, "price": np.arange(1.0, len(times) + 1)})


def stored(given: FeatureSet, table: pd.DataFrame) -> pd.DataFrame:
    view, grid = given.views["prices"], grid_of(given, PANEL, "prices")
    table = normal("prices", view, table)
    check_whole(view, table, grid)
    nothing = pd.DataFrame(columns=[*view.identity(), *view.feature_names()])
    return merge(view, nothing, table, grid, {}).changed


LAG = [{"op": "lag", "columns": ["price"], "steps": [1]}]


@pytest.mark.parametrize(
    "times",
    [
        ("2024-01-01", "2024-01-08", "2024-01-22"),  # weekly, one missing
        ("2024-01-01T00:00", "2024-01-01T08:30", "2024-01-01T17:00"),  # several a step
        ("2024-01-01", "2204-01-01"),  # far apart, and no step between
    ],
)
def test_rows_of_another_view_stay_as_they_are_given(times: tuple[str, ...]) -> None:
    table = rows(*times)
    given = features()
    assert grid_of(given, PANEL, "prices") is None
    finished = stored(given, table)
    pd.testing.assert_frame_equal(finished.drop(columns=INSERTED), table, check_dtype=False)
    assert (finished[INSERTED] == 0).all()
    assert not off_grid(given.views["prices"], table.iloc[:0], table, None).any()


def test_rows_out_of_order_are_sorted_and_twice_refused() -> None:
    finished = stored(features(), rows("2024-01-02", "2024-01-01"))
    assert finished["price"].tolist() == [2, 1]
    with pytest.raises(DataError, match="duplicate"):
        stored(features(), rows("2024-01-02", "2024-01-02"))


def test_a_lag_counts_the_steps_that_the_view_declares() -> None:
    finished = stored(
        features(engineer=LAG, frequency="W"),
        rows("2024-01-01", "2024-01-08", "2024-01-22", "2024-01-29"),
    )
    np.testing.assert_array_equal(finished["price"], [1, 2, 3, 4])
    np.testing.assert_array_equal(finished["price_lag_1"], [np.nan, 1, np.nan, 3])


def test_a_row_off_the_declared_cadence_is_named_with_the_key_to_change() -> None:
    with pytest.raises(
        DataError,
        match=r"2024-01-09.* is not on the W grid .* set features\.views\.prices\.frequency",
    ):
        stored(features(engineer=LAG, frequency="W"), rows("2024-01-01", "2024-01-09"))


@pytest.mark.parametrize("operation", [LAG, [{"op": "calendar", "fields": ["month"]}]])
def test_without_a_declared_cadence_a_lag_needs_a_row_at_every_step_of_the_panel(
    operation: list[dict[str, Any]],
) -> None:
    assert (
        len(stored(features(engineer=operation), rows("2024-01-01", "2024-01-02", "2024-01-03")))
        == 3
    )
    with pytest.raises(
        DataError,
        match=r"features\.views\.prices\.frequency: a column of the view looks at other rows",
    ):
        stored(features(engineer=operation), rows("2024-01-01", "2024-01-08"))


def test_the_frequency_of_a_view_is_checked_and_is_not_for_the_primary_one() -> None:
    assert grid_of(features(frequency="h"), PANEL, "prices") == Grid(Frequency.parse("h"), "null")
    assert grid_of(features(), PANEL, "sales") == Grid(Frequency.parse("D"), "insert")
    with pytest.raises(
        ConfigError, match=r"features\.views\.prices\.frequency 'H' is not known; write h;"
    ):
        grid_of(features(frequency="H"), PANEL, "prices")
    view = {"entity": ["shop"], "columns": ["y"], "ttl": "1d", "frequency": "D"}
    with pytest.raises(
        ValueError,
        match=r"views\.sales\.frequency: the steps of the primary view are panel\.frequency",
    ):
        FeatureSet.model_validate({"primary": "sales", "views": {"sales": view}})


def test_a_view_without_the_new_key_is_stored_under_the_name_it_had() -> None:
    assert '"frequency"' not in features().views["prices"].definition()
    assert (
        features(frequency="W").views["prices"].definition()
        != features(frequency="D").views["prices"].definition()
    )


def sales(*times: str) -> pd.DataFrame:
    return rows(*times).rename(columns={"price": "y"})


def doubt(table: pd.DataFrame) -> str | None:
    given = features()
    view, grid = given.views["sales"], grid_of(given, PANEL, "sales")
    return merge(
        view, pd.DataFrame(columns=["shop", TIME, "y"]), normal("sales", view, table), grid, {}
    ).doubt


def test_more_inserted_rows_than_given_ones_are_said() -> None:
    assert doubt(sales("2024-01-01", "2024-01-03", "2024-01-04")) is None
    assert doubt(sales("2024-01-01", "2024-01-03", "2024-01-09")) == (
        "panel.gaps=insert made 6 rows beside 3 given ones: the longest gap has 5 steps, "
        "between 2024-01-03T00:00:00 and 2024-01-09T00:00:00 in series {'shop': 'a'}"
    )


def test_a_gap_that_only_the_other_series_make_look_short_is_said() -> None:
    days = [str(day)[:10] for day in pd.date_range("2015-01-01", periods=3000)]
    table = pd.concat([sales(*days), sales("1970-01-01", "1975-01-01").assign(shop="b")])
    assert doubt(table) == (
        "panel.gaps=insert: the longest gap has 1,825 steps, between 1970-01-01T00:00:00 "
        "and 1975-01-01T00:00:00 "
        "in series {'shop': 'b'}, which has 2 rows of its own"
    )
