"""Diagnosis: which feature changed and which way; new categories, dead sensors, season left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.vocabulary import TIME
from framework.monitoring import diagnosis

DAY = Frequency.parse("D")
SPLIT = np.datetime64("2024-03-01", "us")


def make_panel(change: Any = None, series: int = 10, days: int = 91) -> Panel:
    """Series with a weekly season, of different levels; ``change`` may change the rows."""
    rng = np.random.default_rng(1)
    times = pd.date_range("2024-01-01", periods=days, freq="D", tz="UTC")
    frames = [
        pd.DataFrame(
            {
                "shop": f"s{i}",
                TIME: times,
                "sales": 10.0 * i + 5 * (np.arange(days) % 7) + rng.normal(0, 1, days),
                "visits": rng.normal(0, 1, days),
                "town": "north" if i % 2 else "south",
            }
        )
        for i in range(series)
    ]
    rows = pd.concat(frames, ignore_index=True)
    if change is not None:
        change(rows)
    return panel_from_rows(
        rows,
        entity_keys=("shop",),
        past=("sales", "visits"),
        known=(),
        categories=("town",),
        frequency=DAY,
    )


def test_without_a_change_nothing_looks_changed_whatever_the_season() -> None:
    weekend = make_panel(days=61 + 2)  # the live days are two of a week
    found = {one["name"]: one for one in diagnosis.features(weekend, SPLIT, DAY, 7)}
    assert not found  # too few values
    found = {one["name"]: one for one in diagnosis.features(make_panel(days=65), SPLIT, DAY, 7)}
    assert set(found) == {"sales", "visits"}
    for one in found.values():
        assert one["KS"] < 0.25
        assert abs(one["shift"]) < 0.3
    pooled = {one["name"]: one for one in diagnosis.features(make_panel(days=65), SPLIT, DAY, 1)}
    assert pooled["sales"]["KS"] > 2 * found["sales"]["KS"]  # what the season alone does


def test_the_feature_that_moved_is_named_first_and_which_way() -> None:
    def down(rows: pd.DataFrame) -> None:
        rows.loc[rows[TIME] > "2024-03-01", "visits"] -= 1.5

    first, second = diagnosis.features(make_panel(down), SPLIT, DAY, 7)
    assert first["name"] == "visits"
    assert first["shift"] == pytest.approx(-1.5, abs=0.3)
    assert first["PSI"] > 0.25 > second["PSI"]
    assert first["Wasserstein"] == pytest.approx(1.5, abs=0.3)
    assert first["live"] == 300


def test_the_figures_are_those_of_the_plain_definitions() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(0, 1, 400), rng.normal(0.5, 2, 300)
    none = np.zeros(400, dtype=np.int64)
    found = diagnosis.compared(before, after, none, none[:300], 1)
    assert found is not None
    grid = np.sort(np.concatenate([before, after]))
    below = np.searchsorted(np.sort(before), grid, "right") / 400
    live_below = np.searchsorted(np.sort(after), grid, "right") / 300
    assert found["KS"] == pytest.approx(np.abs(below - live_below).max(), abs=1e-12)
    area = (np.abs(below - live_below)[:-1] * np.diff(grid)).sum()
    assert found["Wasserstein"] == pytest.approx(area / before.std(), abs=1e-9)
    same = diagnosis.compared(before, before, none, none, 1)
    assert same is not None
    assert (same["PSI"], same["shift"]) == (pytest.approx(0), pytest.approx(0))
    assert same["KS"] == pytest.approx(0, abs=1e-12)


def test_a_new_category_is_found_in_the_first_batch() -> None:
    def renamed(rows: pd.DataFrame) -> None:
        rows.loc[(rows["shop"] == "s3") & (rows[TIME] == rows[TIME].max()), "town"] = "west"

    schema: Any = type("S", (), {"categories": {"town": ("north", "south")}})
    promise: Any = type("P", (), {"schema": schema})
    assert diagnosis.new_categories(make_panel(), promise, 1) == []
    (found,) = diagnosis.new_categories(make_panel(renamed), promise, 1)
    assert (found["feature"], found["value"], found["series"]) == ("town", "west", 1)
    assert found["since"].startswith("2024-03-31")


@pytest.mark.parametrize(("value", "repeats"), [(7.0, 5), (np.nan, 5), (7.0, 4)])
def test_a_dead_sensor_is_found_when_it_repeats_for_longer_than_ever(
    value: float, repeats: int
) -> None:
    def dead(rows: pd.DataFrame) -> None:
        newest = rows.index[rows["shop"] == "s3"][-repeats:]
        rows.loc[newest, "visits"] = value
        # a sensor that often repeats is not dead when it does
        often = rows.index[rows["shop"] == "s4"]
        rows.loc[often, "visits"] = np.repeat([0.0, 1.0], 6).tolist() * 7 + [0.0] * 7

    found = diagnosis.dead_sensors(make_panel(dead))
    if repeats < 5:
        assert found == []
        return
    (one,) = found
    assert (one["entity"], one["feature"], one["repeats"]) == ({"shop": "s3"}, "visits", 5)
    assert one["value"] == (None if np.isnan(value) else 7.0)
    assert one["since"].startswith("2024-03-27")
