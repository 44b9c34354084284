"""Engineered features against pandas groupby, computed series by series, independently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.frequency import Frequency
from framework.errors import ConfigError, DataError
from framework.features.engineering import engineer
from framework.features.views import View

DAY = Frequency.parse("D")
STATISTICS = ["mean", "std", "min", "max", "sum"]


def make_view(*ops: dict, categories: tuple[str, ...] = ()) -> View:
    return View.model_validate(
        {
            "entity": ["shop", "item"],
            "columns": ["y", "x", *categories],
            "categories": categories,
            "ttl": "1d",
            "engineer": ops,
        }
    )


def table(lengths: tuple[int, ...] = (40, 1, 5, 90, 12), seed: int = 3) -> pd.DataFrame:
    """Series of several lengths that begin on different days, a quarter of ``y`` null."""
    rng = np.random.default_rng(seed)
    frames = []
    for i, n in enumerate(lengths):
        times = pd.date_range(
            pd.Timestamp("2024-02-20", tz="UTC") + pd.Timedelta(days=i), periods=n, freq="D"
        )
        y = np.where(rng.random(n) < 0.25, np.nan, rng.normal(50, 20, n))
        frames.append(
            pd.DataFrame(
                {
                    "shop": f"s{i // 2}",
                    "item": f"i{i}",
                    "event_timestamp": times,
                    "y": y,
                    "x": rng.normal(size=n),
                }
            )
        )
    rows = pd.concat(frames, ignore_index=True)
    rows.loc[45:60, "y"] = np.nan  # windows without a value
    return rows


def test_lags_equal_a_groupby_shift() -> None:
    rows = table()
    out = engineer(make_view({"op": "lag", "columns": ["y", "x"], "steps": [1, 7]}), rows, DAY)
    for column in ("y", "x"):
        for k in (1, 7):
            expected = rows.groupby(["shop", "item"])[column].shift(k)
            np.testing.assert_array_equal(out[f"{column}_lag_{k}"], expected)


@pytest.mark.parametrize("window", [2, 7, 28])
def test_rolling_equals_a_groupby_rolling(window: int) -> None:
    rows = table()
    out = engineer(
        make_view(
            {"op": "rolling", "columns": ["y"], "windows": [window], "statistics": STATISTICS}
        ),
        rows,
        DAY,
    )
    for statistic in STATISTICS:
        parts = []
        for _, series in rows.groupby(["shop", "item"], sort=False):
            rolled = getattr(
                series["y"].rolling(window, min_periods=2 if statistic == "std" else 1), statistic
            )()
            rolled.iloc[: window - 1] = np.nan
            parts.append(rolled)
        expected = pd.concat(parts).to_numpy()
        assert np.isfinite(expected).any()
        np.testing.assert_allclose(
            out[f"y_rolling_{window}_{statistic}"], expected, rtol=1e-9, atol=1e-9
        )


def test_operations_build_on_earlier_ones_and_keep_the_declared_order() -> None:
    rows = table()
    rows["kind"] = "a"
    view = make_view(
        {"op": "lag", "columns": ["y"], "steps": [1]},
        {"op": "rolling", "columns": ["y_lag_1"], "windows": [3]},
        {"op": "calendar", "fields": ["day_of_week", "is_holiday"], "country": "US"},
        categories=("kind",),
    )
    out = engineer(view, rows, DAY)
    assert list(out.columns) == ["shop", "item", "event_timestamp", *view.feature_names()]
    lagged = rows.groupby(["shop", "item"])["y"]
    expected = lagged.transform(
        lambda s: s.shift(1).rolling(3, min_periods=1).mean().where(np.arange(len(s)) >= 2)
    )
    np.testing.assert_allclose(out["y_lag_1_rolling_3_mean"], expected)
    np.testing.assert_array_equal(out["calendar_day_of_week"], rows["event_timestamp"].dt.dayofweek)
    assert (out["kind"] == "a").all()
    assert str(out["event_timestamp"].dtype) == "datetime64[us, UTC]"


def test_a_series_has_the_same_bits_alone_and_among_others() -> None:
    rows = table((90, 60, 75) * 20)
    view = make_view(
        {"op": "lag", "columns": ["y"], "steps": [3]},
        {"op": "rolling", "columns": ["y", "x"], "windows": [7, 28], "statistics": STATISTICS},
    )
    together = engineer(view, rows, DAY)
    for item in ("i0", "i31", "i59"):
        alone = engineer(view, rows[rows["item"] == item], DAY)
        among = together[together["item"] == item]
        for feature in view.feature_names():
            assert alone[feature].to_numpy().tobytes() == among[feature].to_numpy().tobytes(), (
                feature
            )


def test_nothing_after_a_row_changes_it() -> None:
    rows = table((60,))
    view = make_view(
        {"op": "lag", "columns": ["y"], "steps": [2]},
        {"op": "rolling", "columns": ["y"], "windows": [5], "statistics": STATISTICS},
    )
    before = engineer(view, rows, DAY)
    changed = rows.copy()
    changed.loc[30:, "y"] = 1e9
    after = engineer(view, changed, DAY)
    pd.testing.assert_frame_equal(before.iloc[:30], after.iloc[:30])
    assert not before.iloc[30:].equals(after.iloc[30:])


def test_calendar_follows_its_time_zone() -> None:
    rows = table((3,)).assign(
        event_timestamp=pd.to_datetime(
            ["2024-03-10T06:00Z", "2024-03-10T07:00Z", "2024-03-10T08:00Z"]
        )
    )
    view = make_view({"op": "calendar", "fields": ["hour"], "time_zone": "America/New_York"})
    assert engineer(view, rows, Frequency.parse("h"))["calendar_hour"].tolist() == [
        1.0,
        3.0,
        4.0,
    ]  # spring forward


def test_a_gap_is_refused_when_steps_are_counted() -> None:
    rows = table((10,)).drop(index=4)
    with pytest.raises(DataError, match=r"2024-02-25.* does not follow 2024-02-23.*'item': 'i0'"):
        engineer(make_view({"op": "lag", "columns": ["y"], "steps": [1]}), rows, DAY)


def test_wrong_columns_are_named() -> None:
    with pytest.raises(ConfigError, match="lag of 'yy': no such column yet; Did you mean 'y'"):
        engineer(make_view({"op": "lag", "columns": ["yy"], "steps": [1]}), table(), DAY)
    with pytest.raises(ConfigError, match=r"rolling of 'kind'.*category"):
        engineer(
            make_view({"op": "rolling", "columns": ["kind"], "windows": [2]}, categories=("kind",)),
            table().assign(kind="a"),
            DAY,
        )
    with pytest.raises(DataError, match=r"missing columns \['x'\]"):
        engineer(make_view(), table().drop(columns="x"), DAY)


def test_calendar_of_days_is_that_of_their_labels() -> None:
    rows = table((40,)).assign(event_timestamp=pd.date_range("2024-12-01", periods=40, tz="UTC"))
    view = make_view(
        {
            "op": "calendar",
            "fields": ["day_of_week", "is_holiday"],
            "country": "US",
            "time_zone": "America/New_York",
        }
    )
    out = engineer(view, rows, DAY)
    days = [str(day)[:10] for day in out["event_timestamp"][out["calendar_is_holiday"] == 1]]
    assert days == ["2024-12-25", "2025-01-01"]
    np.testing.assert_array_equal(out["calendar_day_of_week"], rows["event_timestamp"].dt.dayofweek)


def test_each_row_has_the_holidays_of_the_country_that_its_key_or_category_names() -> None:
    days = pd.date_range("2024-07-13", periods=3, tz="UTC")  # the 14th is France's
    rows = pd.concat(
        [
            pd.DataFrame({"shop": shop, "event_timestamp": days, "y": 1.0, "land": land})
            for shop, land in (("1", "FR"), ("2", None), ("3", "DE-BY"))
        ],
        ignore_index=True,
    )

    def holiday(**options: Any) -> list[float]:
        view = View(
            entity=("shop",),
            columns=("y", "land"),
            categories=("land",),
            ttl="1d",
            engineer=({"op": "calendar", "fields": ["is_holiday"], **options},),
        )
        return engineer(view, rows, Frequency.parse("D"))["calendar_is_holiday"].tolist()

    nan = np.nan
    np.testing.assert_array_equal(holiday(country_column="land"), [0, 1, 0, nan, nan, nan, 0, 0, 0])
    countries = {"1": "US", "2": "FR", "3": "FR"}
    assert holiday(country_column="shop", countries=countries) == [0, 0, 0, 0, 1, 0, 0, 1, 0]
    with pytest.raises(DataError, match="countries has no entry for '3' of column 'shop'; add it"):
        holiday(country_column="shop", countries={"1": "US", "2": "FR"})
    with pytest.raises(ValueError, match=r"country_column: \['y'\] cannot be used there"):
        holiday(country_column="y")


def test_a_view_whose_calendar_means_something_else_is_stored_apart() -> None:
    def definition(**options: object) -> str:
        return make_view({"op": "calendar", **options}).definition()

    assert definition(fields=["month"]).endswith("}")  # as earlier versions: it meant the same
    assert definition(fields=["hour", "month"], time_zone="Europe/Berlin").endswith("}")
    assert definition(fields=["month"], time_zone="Europe/Berlin").endswith("\ncalendar of labels")
    assert definition(fields=["week_of_year"]).endswith("\ncalendar of labels")
