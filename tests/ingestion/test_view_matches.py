"""A view that describes no row of the panel, or few, is said; one that has fewer series or begins
later is not.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from framework_files.file import FileRetrieval
from framework_files.options import FileOptions

from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.ingestion.view_matches import sparse_views
from framework.retrieval.stored_panel import Columns, stored_panel

FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {"entity": ["shop"], "columns": ["y"], "ttl": "1d"},
            "weather": {"entity": ["shop"], "columns": ["temp"], "ttl": "1d"},
        },
    }
)


def table(shops: list[str], first: str, days: int, column: str, freq: str = "D") -> pd.DataFrame:
    times = pd.date_range(first, periods=days, freq=freq, tz="UTC")
    frames = [pd.DataFrame({"shop": shop, TIME: times, column: 1.0}) for shop in shops]
    return pd.concat(frames, ignore_index=True)


def said(folder: Path, weather: pd.DataFrame) -> list[str]:
    store = FileRetrieval(FileOptions(state=folder))
    store.ingest(FEATURES, "sales", table(["1", "2", "3"], "2024-01-01", 60, "y"))
    store.ingest(FEATURES, "weather", weather)
    columns = Columns(("y",), ("y", "temp"), (), (), Frequency.parse("D"), 1)
    panel = stored_panel(store, FEATURES, columns, "refuse")
    return sparse_views(panel, FEATURES, store)


def test_keys_that_match_nothing_are_named_on_both_sides(tmp_path: Path) -> None:
    assert said(tmp_path, table(["01", "02"], "2024-01-01", 60, "temp")) == [
        "view weather describes 0 of 180 rows: no row for 3 keys ({'shop': '1'}, {'shop': "
        "'2'}, {'shop': '3'}) of the series, "
        "2 keys ({'shop': '01'}, {'shop': '02'}) of the view are no series"
    ]


def test_one_key_written_otherwise_is_named(tmp_path: Path) -> None:
    (line,) = said(tmp_path, table(["1", "2", "x3"], "2024-01-01", 60, "temp"))
    assert line.startswith(
        "view weather describes 120 of 180 rows: no row for 1 keys ({'shop': '3'})"
    )


@pytest.mark.parametrize(
    ("weather", "counted"),
    [
        (
            table(["1", "2", "3"], "2024-01-01", 9, "temp", "7D"),
            "describes 54 of 180 rows (30% of those",
        ),
        (
            table(["1", "2", "3"], "2034-01-01", 60, "temp"),
            "describes 0 of 180 rows: its rows are of 2034-01-01 00:00",
        ),
        (
            table(["1", "2", "3"], "2013-01-01", 60, "temp"),
            "describes 0 of 180 rows: its rows are of 2013-01-01 00:00",
        ),
    ],
)
def test_times_that_hardly_meet_are_said(
    tmp_path: Path, weather: pd.DataFrame, counted: str
) -> None:
    (line,) = said(tmp_path, weather)
    assert line.startswith(f"view weather {counted}")


@pytest.mark.parametrize(
    "weather",
    [
        table(["1"], "2024-01-01", 60, "temp"),  # fewer series
        table(["1", "2", "3", "4"], "2024-01-01", 60, "temp"),  # more
        table(["1", "2", "3"], "2024-02-20", 9, "temp"),  # begins later
        table(["1"], "2024-02-20", 9, "temp"),
    ],
)
def test_fewer_series_and_a_later_beginning_are_no_doubt(
    tmp_path: Path, weather: pd.DataFrame
) -> None:
    assert said(tmp_path, weather) == []
