"""A source that changed after it was ingested is named by the runs that read the store; rows that
it lost are named, kept or removed.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  files: {sales: data/sales.csv, prices: data/prices.csv, other: data/other.csv}
features:
  primary: sales
  views:
    sales:
      entity: [shop]
      columns: [y]
      ttl: 1d
      engineer:
        - {op: lag, columns: [y], steps: [1]}
        - {op: join, table: prices, by: [shop], columns: [price]}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7, gaps: insert, unused: warn}
backtest: {folds: 2}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
    (tmp_path / "conf" / "experiment" / "shops.yaml").write_text(EXPERIMENT)
    write(tmp_path, range(30))
    for name in ("prices", "other"):
        (tmp_path / "data" / f"{name}.csv").write_text("shop,price\na,2\nb,3\n")
    return tmp_path


def write(project: Path, days: range, shops: str = "ab", without: tuple[int, ...] = ()) -> None:
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        [d for d in days if d not in without], unit="D"
    )
    rows = [f"{shop},{time:%Y-%m-%d},{time.day}" for shop in shops for time in times]
    (project / "data" / "sales.csv").write_text("\n".join(["shop,event_timestamp,y", *rows]) + "\n")


def run(project: Path, *overrides: str, code: int = 0) -> tuple[dict[str, Any], str]:
    done = command.run("+experiment=shops", *overrides, cwd=project)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def about_the_source(result: dict[str, Any]) -> list[str]:
    return [line for line in result["warnings"] if line.startswith("the source differs")]


def stored(project: Path) -> pd.DataFrame:
    (file,) = (project / "state" / "offline").glob("sales-*.parquet")
    return pd.read_parquet(file)


def test_runs_that_read_the_store_name_a_source_that_changed_until_it_is_ingested(
    project: Path,
) -> None:
    assert not about_the_source(run(project)[0])  # the first run has just read it
    assert not about_the_source(run(project, "run=backtest")[0])
    (project / "data" / "other.csv").write_text("shop,price\na,9\n")  # which no view reads
    assert not about_the_source(run(project, "run=predict")[0])
    write(project, range(35))
    for overrides in ([], ["run=backtest"], ["run=predict"]):
        result, said = run(project, *overrides)
        (line,) = about_the_source(result)
        assert "(sales/sales.csv was changed); run=ingest reads it" in line
        assert line in said
    run(project, "run=ingest")
    assert not about_the_source(run(project)[0])
    (project / "data" / "prices.csv").write_text(
        "shop,price\na,2\nb,4\n"
    )  # a table that the view joins
    assert "(prices/prices.csv was changed)" in about_the_source(run(project, "run=backtest")[0])[0]


@pytest.mark.stress
def test_a_source_that_is_not_there_is_no_change(project: Path) -> None:
    run(project)
    (project / "data" / "sales.csv").unlink()
    result, said = run(project, "run=backtest")
    assert not about_the_source(result)
    assert "the source cannot be compared with what was ingested" in said


@pytest.mark.stress
def test_rows_that_the_source_lost_are_named_and_stay(project: Path) -> None:
    run(project, "run=ingest")
    write(project, range(5, 30), "a")
    result, said = run(project, "run=ingest")
    (line,) = result["warnings"]
    assert (
        "ingest: sales: 35 stored rows are no longer in the source, the first of series "
        "{shop: a} at 2024-01-01T00:00Z" in line
    )
    assert "ingest.removed=remove" in line
    assert line in said
    assert len(stored(project)) == 60
    assert run(project, "run=ingest", "ingest.removed=keep")[0]["warnings"] == []


@pytest.mark.stress
def test_rows_that_the_source_lost_are_removed_on_request_with_what_was_computed_from_them(
    project: Path,
) -> None:
    write(project, range(30), without=(28,))
    run(project, "run=ingest")
    assert len(stored(project)) == 60  # one of each series is an inserted row
    write(project, range(5, 28), "a", without=(10,))
    result, _ = run(project, "run=ingest", "ingest.removed=remove")
    assert (result["removed"], result["warnings"]) == ({"sales": 37}, [])
    left = stored(project)
    write(project, range(5, 28), "a", without=(10,))
    fresh = project / "fresh"
    run(project, "run=ingest", f"paths.state={fresh}")
    (file,) = (fresh / "offline").glob("sales-*.parquet")
    pd.testing.assert_frame_equal(left, pd.read_parquet(file))
    assert run(project, "run=ingest", "ingest.removed=remove")[0]["rows"] == {"sales": 0}


@pytest.mark.stress
def test_inserted_rows_are_not_missed_in_the_source(project: Path) -> None:
    write(project, range(30), without=(3, 4, 17))
    run(project, "run=ingest")
    assert run(project, "run=ingest")[0]["warnings"] == []


@pytest.mark.stress
def test_a_database_is_compared_by_its_queries_alone(project: Path) -> None:
    database = project / "shops.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE sales (shop text, day text, y real)")
        days = pd.date_range("2024-01-01", periods=30)
        connection.executemany(
            "INSERT INTO sales VALUES ('a', ?, ?)", [(f"{day:%Y-%m-%d}", day.day) for day in days]
        )
    text = EXPERIMENT.replace("override /source: files", "override /source: sql").split(
        "source:\n"
    )[1]
    head = EXPERIMENT.split("source:\n", maxsplit=1)[0].replace(
        "override /source: files", "override /source: sql"
    )
    rest = text[text.index("features:") :].replace(
        "        - {op: join, table: prices, by: [shop], columns: [price]}\n", ""
    )
    tables = (
        "source:\n  url: sqlite:///shops.db\n  tables:\n    sales: {query: 'SELECT shop, day AS "
        "event_timestamp, QUERY AS y FROM sales'}\n"
    )
    experiment = project / "conf" / "experiment" / "shops.yaml"
    experiment.write_text(head + tables.replace("QUERY", "y") + rest)
    assert not about_the_source(run(project)[0])
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO sales VALUES ('a', '2024-01-31', 3)")
    assert not about_the_source(run(project, "run=backtest")[0])
    experiment.write_text(head + tables.replace("QUERY", "2 * y") + rest)
    assert "(sales (query) was changed)" in about_the_source(run(project, "run=backtest")[0])[0]


@pytest.mark.stress
def test_a_backtest_ingests_when_it_is_told_to(project: Path) -> None:
    body, err = run(project, "run=backtest", "ingest.when=never", code=1)
    assert "the store has no rows of these views; run=ingest fills it" in body["error"]
    run(project, "run=backtest")
    write(project, range(33))
    body, err = run(project, "run=backtest", "ingest.when=never")
    assert "2024-02-02" not in err
    assert any("the source differs" in line for line in body["warnings"])
    body, err = run(project, "run=backtest", "ingest.when=always")
    assert "ingest.when=always: ingest and materialize first" in err
    assert "2024-02-02" in err
    assert not any("the source differs" in line for line in body["warnings"])
