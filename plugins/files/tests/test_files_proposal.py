"""How files are read that nobody has described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from framework_files.proposal import propose


def proposal_of(folder: Path, text: str, encoding: str = "utf-8", **reading: Any) -> Any:
    (folder / "d.csv").write_bytes(text.encode(encoding))
    return propose(str(folder / "d.csv"), None, reading)


@pytest.mark.parametrize(
    ("text", "reading", "first"),
    [
        ("d;y\n2024-01-01;1,5\n2024-01-02;12,25\n", {"decimal": ","}, 1.5),
        ('d,y\n2024-01-01,"1,204"\n2024-01-02,"12,250"\n', {"thousands": ","}, 1204),
        (
            "d;y\n2024-01-01;1.204,5\n2024-01-02;12,2\n",
            {"decimal": ",", "thousands": "."},
            1204.5,
        ),
        ("d,y\n2024-01-01,1.5\n2024-01-02,NA\n", {"null_values": ["", "NA"]}, 1.5),
        ("d,y\n2024-01-01,1.5\n2024-01-02,2\n", {}, 1.5),
        ("d,y\n2024-01-01,12.388\n2024-01-02,13.000\n", {"decimal": "."}, 12.388),
    ],
)
def test_numbers(tmp_path: Path, text: str, reading: dict[str, Any], first: float) -> None:
    proposal = proposal_of(tmp_path, text)
    assert proposal.reading == reading
    assert {*proposal.guesses} == {*reading}
    rows = proposal.rows()
    assert rows["y"].iloc[0] == first
    assert pd.api.types.is_numeric_dtype(rows["y"])


@pytest.mark.parametrize(
    ("texts", "pattern", "first"),
    [
        (["01/02/2024", "01/03/2024", "01/04/2024"], "%d/%m/%Y", "2024-02-01"),
        (["01/01/2024", "01/02/2024", "01/03/2024", "01/05/2024"], "%d/%m/%Y", "2024-01-01"),
        (["1704067200", "1704070800"], "epoch_s", "2024-01-01"),
        (["1704067200000", "1704070800000"], "epoch_ms", "2024-01-01"),
        (["20240101", "20240102"], "%Y%m%d", "2024-01-01"),
        (["202401", "202402"], "%Y%m", "2024-01-01"),
        (["2019", "2020"], "%Y", "2019-01-01"),
        (["05-Jan-24", "06-Jan-24"], "%d-%b-%y", "2024-01-05"),
    ],
)
def test_times(tmp_path: Path, texts: list[str], pattern: str, first: str) -> None:
    lines = [f"{text},{place}" for place, text in enumerate(texts)]
    proposal = proposal_of(tmp_path, "\n".join(["date,y", *lines]) + "\n")
    assert proposal.reading == {"date_format": {"date": pattern}}
    assert proposal.rows()["date"].iloc[0] == pd.Timestamp(first)


@pytest.mark.parametrize(("months", "doubtful"), [(24, False), (12, True)])
def test_a_day_that_may_be_a_month_is_read_as_the_more_even_steps(
    tmp_path: Path, months: int, doubtful: bool
) -> None:
    starts = pd.date_range("2023-01-01", periods=months, freq="MS")
    text = "".join(f"{start:%d/%m/%Y},1\n" for start in starts)
    guess = proposal_of(tmp_path, "date,y\n" + text).guesses["date_format.date"]
    assert (guess.value, guess.doubtful) == ("%d/%m/%Y", doubtful)


def test_an_encoding(tmp_path: Path) -> None:
    proposal = proposal_of(tmp_path, "d,shop,y\n2024-01-01,Köln,1\n", "cp1252")
    assert proposal.reading == {"encoding": "cp1252"}
    assert proposal.rows()["shop"].iloc[0] == "Köln"


def test_what_is_decided_is_not_guessed(tmp_path: Path) -> None:
    proposal = proposal_of(tmp_path, "d;y\n2024-01-01;1,500\n2024-01-02;2,250\n", thousands=",")
    assert proposal.guesses == {}
    assert proposal.rows()["y"].tolist() == [1500, 2250]


def test_a_database_is_not_for_files() -> None:
    assert propose("postgresql://host/sales", None, {}) is None


@pytest.mark.parametrize(("written", "zone"), [("", None), ("+00:00", "UTC")])
def test_times_of_the_name_that_is_wanted_show_whether_they_have_an_offset(
    tmp_path: Path, written: str, zone: str | None
) -> None:
    lines = ["event_timestamp,y", *(f"2024-01-01 0{h}:00:00{written},{h}" for h in range(3))]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    proposal = propose(str(tmp_path / "d.csv"), None, {})
    assert proposal is not None
    times = proposal.rows()["event_timestamp"]
    assert (str(times.dt.tz) if times.dt.tz else None) == zone
