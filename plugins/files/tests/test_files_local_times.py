"""Local times without an offset: both changes of the clock, whatever the order of the file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from framework_files.options import FilesOptions
from framework_files.source import FilesSource
from pydantic import ValidationError

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.interfaces.source import Roles

ZONE = "Europe/Berlin"
UTC = pd.date_range("2024-03-30T22:00Z", periods=8, freq="h").append(
    pd.date_range("2024-10-26T22:00Z", periods=8, freq="h")
)
ROLES = Roles(("shop",), ("y",), (TIME,), ("shop",))


def table(times: pd.DatetimeIndex = UTC) -> pd.DataFrame:
    """Two series, one after the other; ``y`` is the place in ``UTC``."""
    local = times.tz_convert(ZONE).strftime("%d.%m.%Y %H:%M")
    y = UTC.get_indexer(times)
    return pd.concat([pd.DataFrame({"shop": shop, TIME: local, "y": y}) for shop in "ab"])


def read(folder: Path, rows: pd.DataFrame, **options: object) -> pd.DataFrame:
    rows.to_csv(folder / "t.csv", index=False)
    tables = {"t": {"time_zone": ZONE, **options}}
    chosen = FilesOptions.model_validate({"files": {"t": f"{folder}/t.csv"}, "tables": tables})
    return FilesSource(chosen).read_as("t", ROLES)


@pytest.mark.parametrize("order", ["rising", "falling", "by time"])
def test_an_hour_of_23_and_one_of_25_hours_are_all_there(tmp_path: Path, order: str) -> None:
    rows = table()
    if order == "falling":
        rows = rows.iloc[::-1]
    if order == "by time":  # the series in turn
        rows = rows.sort_values("y", kind="stable")
    found = read(tmp_path, rows)
    for _, series in found.groupby("shop"):
        assert series.sort_values("y")[TIME].tolist() == UTC.tolist()


def test_rows_are_ordered_after_their_times_are_known(tmp_path: Path) -> None:
    found = read(tmp_path, table(), order_by=["shop", TIME])
    assert found["y"].tolist() == [*range(16), *range(16)]


def test_an_hour_that_is_there_once_needs_a_word(tmp_path: Path) -> None:
    once = table(UTC.delete(11))  # 2024-10-27T01:00Z, the second 02:00
    with pytest.raises(DataError, match=r"2024-10-27 02:00 is twice .* ambiguous: first or second"):
        read(tmp_path, once)
    for which, hour in (("first", 0), ("second", 1)):
        found = read(tmp_path, once, ambiguous=which)
        assert found[TIME][found["y"] == 10].unique().tolist() == [
            pd.Timestamp(f"2024-10-27T0{hour}:00Z")
        ]


def test_rows_in_no_order_and_skipped_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2024-10-27 02:00 is twice .* sort the file by time"):
        read(tmp_path, table().sample(frac=1, random_state=3))
    skipped = pd.DataFrame({"shop": ["a"], TIME: ["2024-03-31 02:30"], "y": [1]})
    with pytest.raises(DataError, match=r"2024-03-31 02:30 is skipped by the clock of Europe"):
        read(tmp_path, skipped)


def test_dates_and_times_with_an_offset_are_no_local_times(tmp_path: Path) -> None:
    for text, moment in (("2024-07-01", "2024-07-01"), ("2024-07-01T02:00-01:00", "2024-07-01T03")):
        found = read(tmp_path, pd.DataFrame({"shop": ["a"], TIME: [text], "y": [1]}))
        assert found[TIME].tolist() == [pd.Timestamp(moment, tz="UTC")]


def test_a_zone_that_is_none_is_refused() -> None:
    for options in ({"time_zone": "Berlin"}, {"ambiguous": "first"}):
        with pytest.raises(ValidationError, match=r"time_zone|time zone"):
            FilesOptions.model_validate({"files": {"t": "t.csv"}, "tables": {"t": options}})
