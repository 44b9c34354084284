"""``source=sql`` on a real PostgreSQL and on SQLite: everything, from the watermark on, killed in
between; no password anywhere.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from framework_sql.options import SqlOptions
from framework_sql.proposal import propose
from framework_sql.source import SqlSource
from framework_sql.watermark import earlier, from_text, to_text

from framework.errors import ConfigError, DataError, NotThereError
from framework.features.views import View
from framework.interfaces.source import Roles
from framework.options import validate
from framework.testing.servers import command, postgresql

VIEW = View.model_validate({"entity": ["shop"], "columns": ["sales"], "ttl": "1d"})
QUERY = "SELECT shop, day AS event_timestamp, sales, changed FROM sales"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.server() as place:
        yield f"postgresql+psycopg://tests@{place}"


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty table in either database."""
    url = (
        request.getfixturevalue("server")
        if request.param == "postgresql"
        else f"sqlite:///{tmp_path / 'sales.db'}"
    )
    moment = "timestamptz" if request.param == "postgresql" else "text"
    execute(
        url,
        "DROP TABLE IF EXISTS sales",
        f"CREATE TABLE sales (shop text, day {moment}, sales numeric, changed {moment})",
    )
    return str(url)


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def insert(url: str, *rows: tuple[str, int, float | None, int]) -> None:
    """Shop, day, sales, and the hour of the change."""
    values = [
        f"('{shop}', '{FIRST + timedelta(days=day):%Y-%m-%d %H:%M:%S+00:00}', "
        f"{'NULL' if sales is None else sales}, "
        f"'{FIRST + timedelta(hours=hour):%Y-%m-%d %H:%M:%S+00:00}')"
        for shop, day, sales, hour in rows
    ]
    execute(url, f"INSERT INTO sales VALUES {', '.join(values)}")


def source(url: str, chunk: int = 100, **table: Any) -> SqlSource:
    return SqlSource(
        SqlOptions.model_validate(
            {"url": url, "tables": {"sales": {"query": QUERY, **table}}, "chunk": chunk}
        )
    )


def drain(
    reader: SqlSource, position: str | None = None
) -> tuple[list[list[tuple[str, int, float]]], str | None]:
    batches = []
    for batch in reader.batches("sales", VIEW, position):
        days = (
            (batch.rows["event_timestamp"] - pd.Timestamp(FIRST)).dt.days if len(batch.rows) else []
        )
        batches.append(
            list(zip(batch.rows["shop"], days, batch.rows["sales"].astype(float), strict=True))
        )
        position = batch.position
    reader.close()
    return batches, position


def test_the_whole_query_with_its_types(url: str) -> None:
    insert(url, ("a", 0, 1.5, 0), ("a", 1, None, 1))
    rows = source(url).read("sales")
    assert rows["event_timestamp"].tolist() == [
        pd.Timestamp(FIRST),
        pd.Timestamp(FIRST + timedelta(days=1)),
    ]
    assert pd.to_numeric(rows["sales"]).isna().tolist() == [False, True]
    (batch,) = source(url).batches("sales", VIEW, None)
    assert batch.whole
    pieces = list(source(url, chunk=1).batches("sales", VIEW, None))
    assert [(len(p.rows), p.whole, p.position) for p in pieces] == [
        (1, False, None),
        (1, False, None),
    ]


def test_only_what_is_new_is_read_and_equal_watermarks_again(url: str) -> None:
    insert(url, ("a", 0, 1, 5), ("b", 0, 2, 5), ("a", 1, 3, 4))
    batches, position = drain(source(url, chunk=2, watermark="changed"))
    assert [len(b) for b in batches] == [2, 1]
    insert(url, ("c", 0, 9, 5), ("a", 0, 7, 6))  # one more of the same moment, one correction
    batches, position = drain(source(url, watermark="changed"), position)
    assert sorted(batches[0]) == [("a", 0, 1.0), ("a", 0, 7.0), ("b", 0, 2.0), ("c", 0, 9.0)]
    assert batches[0][-1] == ("a", 0, 7.0)  # the newest change comes last, and counts
    assert drain(source(url, watermark="changed"), position)[0] == [[("a", 0, 7.0)]]


def test_an_overlap_finds_rows_that_became_visible_late(url: str) -> None:
    insert(url, ("a", 0, 1, 10))
    _, position = drain(source(url, watermark="changed"))
    insert(url, ("b", 0, 2, 8))
    assert drain(source(url, watermark="changed"), position)[0] == [[("a", 0, 1.0)]]
    batches, after = drain(source(url, watermark="changed", overlap="PT3H"), position)
    assert batches == [[("b", 0, 2.0), ("a", 0, 1.0)]]
    assert from_text(str(after)) == from_text(str(position))


def test_a_null_watermark_is_refused_whenever_it_comes(url: str) -> None:
    insert(url, ("a", 0, 1, 10))
    _, position = drain(source(url, watermark="changed"))
    execute(url, "INSERT INTO sales VALUES ('b', '2024-01-01 00:00:00+00:00', 1, NULL)")
    for at in (None, position):
        with pytest.raises(DataError, match="column 'changed', the watermark, is null in 1 rows"):
            drain(source(url, watermark="changed"), at)


def test_only_a_chunk_is_fetched_at_a_time(server: str) -> None:
    """The batch after the first fails at the server, so the first one came before the query had
    ended.
    """
    query = (
        "SELECT 'a' AS shop, '2024-01-01'::timestamptz AS event_timestamp, 1 / (5000 - i) AS "
        "sales FROM generate_series(1, 6000) i"
    )
    reader = source(server, chunk=1000, query=query)
    batches = reader.batches("sales", VIEW, None)
    assert len(next(batches).rows) == 1000
    with pytest.raises(DataError, match="division by zero"):
        list(batches)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"query": "SELECT nothing FROM sales"}, ["table 'sales'", "nothing"]),
        ({"query": "SELECT shop, sales FROM sales"}, ["no column 'event_timestamp'", "'sales'"]),
        (
            {"query": "SELECT shop, shop AS event_timestamp, sales FROM sales"},
            ["column 'event_timestamp' is not a time"],
        ),
        ({"watermark": "chnged"}, ["chnged"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    url: str, table: dict[str, Any], words: list[str]
) -> None:
    insert(url, ("a", 0, 1, 1))
    with pytest.raises(DataError) as caught:
        drain(source(url, **table))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Nor is it asked for a table that is not declared."""
    for ask in (lambda one: one.check({"sales": Roles()}), drain):
        with pytest.raises(NotThereError, match=r"there is no file .*nope\.db"):
            ask(source(f"sqlite:///{tmp_path / 'nope.db'}"))
    with pytest.raises(ConfigError, match=r"table 'sale' is not declared; Did you mean 'sales'"):
        source("sqlite://").check({"sale": Roles()})
    assert not [*tmp_path.iterdir()]


def test_a_password_is_in_no_message(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "postgresql+psycopg://me:hunter2@127.0.0.1/x",
        "postgresql+psycopg://127.0.0.1/x?password=hunter2",
    ):
        options = validate(SqlOptions, {"url": url, "tables": {}}, "source")
        assert "hunter2" not in options.model_dump_json() + repr(options)
        with pytest.raises(ConfigError) as refused:
            validate(SqlOptions, {"url": url, "tables": {}, "follow": url}, "source")
        assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("SALES_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    monkeypatch.setenv("SALES_PASSWORD", "hunter2")
    tables = {"sales": {"query": QUERY}}
    for options in (
        {"url_env": "SALES_URL"},
        {"url": "postgresql+psycopg://me@127.0.0.1:1/x", "password_env": "SALES_PASSWORD"},
    ):
        reader = SqlSource(SqlOptions.model_validate({**options, "tables": tables}))
        with pytest.raises(DataError) as caught:
            reader.read("sales")
        assert "postgresql+psycopg://me:***@127.0.0.1:1/x" in str(caught.value)
        assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)
    monkeypatch.delenv("SALES_URL")
    with pytest.raises(ConfigError, match="environment variable SALES_URL is not set"):
        SqlSource(SqlOptions.model_validate({"url_env": "SALES_URL", "tables": tables})).read(
            "sales"
        )


def test_wrong_options_are_named() -> None:
    for options, words in (
        ({"tables": {}}, "give url or url_env"),
        (
            {"url": "sqlite://", "tables": {"s": {"query": QUERY, "overlap": 3}}},
            "overlap needs a watermark",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            SqlOptions.model_validate(options)
    with pytest.raises(DataError, match="table 'sale' is not declared; Did you mean 'sales'"):
        source("sqlite://").read("sale")


@pytest.mark.parametrize(
    "value",
    [
        FIRST,
        FIRST.replace(tzinfo=None, microsecond=123),
        date(2024, 1, 1),
        7,
        2.5,
        Decimal("1.10"),
        "2024",
    ],
)
def test_a_watermark_comes_back_with_its_type(value: Any) -> None:
    back = from_text(to_text(value))
    assert (type(back), back) == (type(value), value)


def test_an_overlap_is_of_the_kind_of_the_watermark() -> None:
    assert earlier(10, 3) == 7
    assert earlier("2024-01-02 00:00:00", timedelta(days=1)) == "2024-01-01 00:00:00"
    assert earlier("2024-01-02", timedelta(days=1)) == "2024-01-01"
    for value, overlap, words in (
        (FIRST, 3, "a duration"),
        (10, timedelta(days=1), "a number"),
        ("x7", 3, "a duration"),
    ):
        with pytest.raises(ConfigError, match=words):
            earlier(value, overlap)


EXPERIMENT = """# @package _global_
defaults:
  - override /source: sql
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  url: sqlite:///sales.db
  chunk: 50
  tables:
    sales: {query: "SELECT * FROM sales", watermark: id}
features:
  primary: sales
  views:
    sales:
      entity: [shop]
      columns: [y]
      ttl: 1d
      engineer: [{op: lag, columns: [y], steps: [1]}, {op: expanding, columns: [y]}]
panel: {targets: [y], frequency: D, horizon: 7, season_length: 7}
"""


def run(project: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command.run(
        "+experiment=shops",
        "run=ingest",
        *overrides,
        cwd=project,
        env={**os.environ, **environment},
    )


KILLED = """
import os, signal
from framework.ingestion.checkpoints import Positions
keep, done = Positions.keep, []
def killed(self, *arguments):
    done.append(1)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, *arguments)
Positions.keep = killed
from framework.cli.main import main
main()
"""


@pytest.mark.stress
def test_a_killed_ingest_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed with the rows of the third batch stored and its position not; the next one gives the
    rows of an ingest that was left alone.
    """
    tables = {}
    for name in ("killed", "alone"):
        project = tmp_path / name
        (project / "conf" / "experiment").mkdir(parents=True)
        (project / "conf" / "experiment" / "shops.yaml").write_text(EXPERIMENT)
        (project / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
        with sqlite3.connect(project / "sales.db") as database:
            database.execute(
                "CREATE TABLE sales (id integer, shop text, event_timestamp text, y real)"
            )
            rows = [
                (i, f"s{i % 4}", str(FIRST + timedelta(days=i // 4)), float(i * i % 37))
                for i in range(400)
            ]
            database.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
        database.close()
        if name == "killed":
            died = subprocess.run(
                [sys.executable, "-c", KILLED, "+experiment=shops", "run=ingest"],
                cwd=project,
                capture_output=True,
                text=True,
                check=False,
            )
            assert died.returncode == -9, died.stderr
        done = run(project)
        assert done.returncode == 0, done.stderr
        last = {
            "killed": "301 rows read, 250 new or changed",
            "alone": "400 rows read, 400 new or changed",
        }[name]
        assert (
            last in done.stderr.splitlines()[-1]
        )  # from the second position on, its own row again
        (file,) = (project / "state" / "offline").glob("sales-*.parquet")
        tables[name] = pd.read_parquet(file)
    assert len(tables["alone"]) == 400
    pd.testing.assert_frame_equal(tables["killed"], tables["alone"], check_exact=True)
    again = run(tmp_path / "alone")
    assert "1 rows read, 0 new or changed" in again.stderr
    recorded = "".join(
        p.read_text(errors="replace") for p in (tmp_path / "alone" / "state").rglob("*.yaml")
    )
    assert "sqlite:///sales.db" in recorded


def test_init_proposes_a_query_that_is_read_as_it_stands(url: str) -> None:
    execute(
        url,
        "CREATE VIEW daily AS SELECT shop, day, sales, changed FROM sales",
        "CREATE VIEW named AS SELECT day AS event_timestamp, sales FROM sales",
        *(
            f"INSERT INTO sales VALUES ('{s}', '2024-01-0{d}', {d}.5, '2024-02-01')"
            for s in "ab"
            for d in (1, 2)
        ),
    )
    with pytest.raises(
        ConfigError, match=r"^init\.table: missing; .* There are: daily, named, sales\.$"
    ):
        propose(url, None, {})
    proposal = propose(url, "daily", {})
    assert proposal is not None
    rows = proposal.rows()
    assert pd.api.types.is_numeric_dtype(rows["sales"])
    assert pd.api.types.is_datetime64_any_dtype(rows["day"])
    options = proposal.options({"day": "event_timestamp"}, None)
    source = SqlSource(validate(SqlOptions, options, "source"))
    stored = source.read("daily")
    source.close()
    assert stored["event_timestamp"].tolist() == [FIRST] * 2 + [FIRST + timedelta(days=1)] * 2
    assert stored["sales"].astype(float).tolist() == [1.5, 1.5, 2.5, 2.5]
    with pytest.raises(ConfigError, match=r"^init\.time_zone: Europe/Berlin is the clock"):
        proposal.options({"day": "event_timestamp"}, "Europe/Berlin")
    with pytest.raises(ConfigError, match=r"^init\.reading\.decimal: a database has types"):
        propose(url, "daily", {"decimal": ","})
    named = propose(url, "named", {})
    assert named is not None
    assert named.rows()["event_timestamp"].dt.tz is None  # a clock can be looked for in them
    execute(url, "DROP VIEW daily", "DROP VIEW named")


def test_what_is_no_database_is_another_sources(server: str) -> None:
    assert propose("data/sales.csv", None, {}) is None
    assert propose("s3://bucket/sales.parquet", None, {}) is None
    with pytest.raises(DataError) as caught:
        propose("postgresql+psycopg://reader:hunter2@127.0.0.1:1/none", None, {})
    assert "hunter2" not in str(caught.value)
