"""Point-in-time rows of every offline store that runs here, held against a plain DuckDB as-of join
and against Feast's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from framework_feast import FeastOptions
from framework_feast.offline.warehouse import WarehouseStore
from framework_feast.retrieval import FeastRetrieval
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet, View
from framework.retrieval.point_in_time import joined_rows
from framework.testing.servers import postgresql

FIRST = datetime(2024, 3, 9, tzinfo=UTC)
COLUMNS = ["y", "kind", "temp", "sky", "price"]
#: Three views with different entities; every time is a whole number of hours, so that ties and
#: ages of exactly one ttl are common.
FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {
                "entity": ["shop", "item"],
                "columns": ["y", "kind"],
                "categories": ["kind"],
                "ttl": "1d",
            },
            "weather": {
                "entity": ["shop"],
                "columns": ["temp", "sky"],
                "categories": ["sky"],
                "ttl": "PT5H",
            },
            "prices": {"entity": ["item"], "columns": ["price"], "ttl": "2d"},
        },
    }
)
Make = Callable[..., FeastRetrieval]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql.server() as place:
        address, _, database = place.partition("/")
        host, _, port = address.partition(":")
        yield {
            "type": "postgres",
            "host": host,
            "port": int(port),
            "database": database,
            "db_schema": "public",
            "user": "tests",
            "password": "",
            "sslmode": "disable",
        }


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.stress)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A strategy on rows of its own each time."""
    offline = {"type": "duckdb"} if request.param == "duckdb" else request.getfixturevalue("server")

    def one(**options: Any) -> FeastRetrieval:
        root = tmp_path / uuid.uuid4().hex
        store = {
            "project": "test",
            "provider": "local",
            "registry": {"path": str(root / "registry.db")},
            "online_store": {"type": "sqlite", "path": str(root / "online.db")},
            "offline_store": offline,
            "entity_key_serialization_version": 3,
            "materialization": {"pull_latest_features": True},
        }
        return FeastRetrieval(FeastOptions(store=store, state=root / "offline", **options))

    return one


def fresh(features: FeatureSet) -> FeatureSet:
    """The same views under names of their own: tests share a PostgreSQL server."""
    mark = uuid.uuid4().hex[:8]
    views = {f"{name}_{mark}": view.model_dump() for name, view in features.views.items()}
    return FeatureSet.model_validate({"primary": f"{features.primary}_{mark}", "views": views})


def fill(strategy: FeastRetrieval, features: FeatureSet, tables: list[pd.DataFrame]) -> None:
    for name, rows in zip(features.views, tables, strict=True):
        strategy._offline.write(name, features.views[name], rows)


def reference(features: FeatureSet, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """DuckDB's own ASOF JOIN over the raw rows, of which the last of equal key and time counts."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    primary = features.entity_keys
    chosen, joins = [], []
    for i, (view, rows) in enumerate(zip(features.views.values(), tables, strict=True)):
        connection.register(f"raw{i}", rows.reset_index(drop=True).reset_index(names="nr"))
        connection.execute(
            f"CREATE TABLE t{i} AS SELECT * EXCLUDE nr FROM raw{i} "
            f"QUALIFY row_number() OVER (PARTITION BY {', '.join((*view.entity, TIME))} "
            "ORDER BY nr DESC) = 1"
        )
        ttl = f"INTERVAL '{int(view.ttl.total_seconds())} seconds'"
        fresh_enough = f"t{i}.{TIME} >= t0.{TIME} - {ttl}"
        chosen += [
            f"t{i}.{c}" if i == 0 else f"CASE WHEN {fresh_enough} THEN t{i}.{c} END AS {c}"
            for c in view.columns
        ]
        keys = " AND ".join(f"t0.{k} = t{i}.{k}" for k in view.entity)
        joins += [f"ASOF LEFT JOIN t{i} ON {keys} AND t0.{TIME} >= t{i}.{TIME}"] if i else []
    order = ", ".join((*primary, TIME))
    identity = ", ".join(f"t0.{c}" for c in (*primary, TIME))
    rows = connection.execute(
        f"SELECT {identity}, {', '.join(chosen)} FROM t0 {' '.join(joins)} ORDER BY {order}"
    ).df()
    return rows.assign(**{TIME: rows[TIME].dt.tz_convert("UTC").astype("datetime64[us, UTC]")})


def same(got: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Value by value, bit for bit, null equal to null."""
    assert list(got.columns) == list(wanted.columns)
    assert got[TIME].tolist() == wanted[TIME].tolist()
    for column in wanted.columns.drop(TIME):
        found, expected = (
            [None if pd.isna(v) else v for v in frame[column].tolist()] for frame in (got, wanted)
        )
        assert found == expected, column


hours = st.integers(0, 30)
shops, items = st.sampled_from(["a", "b", "B", "ä", 'q"u,o', ""]), st.sampled_from(["x", "y", "zz"])
numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=64))
words = st.one_of(st.none(), st.sampled_from(["sun", "", "ra,in", "NA"]))
zones = st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"])


def frame(rows: list[tuple[Any, ...]], columns: list[str], zone: str) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=[*columns[:-1], "hour"] if columns[-1] == TIME else columns)
    times = pd.DatetimeIndex(
        [FIRST + timedelta(hours=h) for h in made.pop("hour")], dtype="datetime64[us, UTC]"
    ).tz_convert(zone)
    made[TIME] = times
    for column in made.columns.intersection(["y", "temp", "price"]):
        made[column] = made[column].astype(float)
    return made


@st.composite
def tables(draw: st.DrawFn) -> list[pd.DataFrame]:
    """Ties, rows given twice, unknown entities, views without some entity, times of three zones
    (daylight saving begins within).
    """
    sales = draw(st.lists(st.tuples(shops, items, numbers, words, hours), min_size=1, max_size=40))
    weather = draw(st.lists(st.tuples(shops, numbers, words, hours), min_size=1, max_size=30))
    prices = draw(st.lists(st.tuples(items, numbers, hours), min_size=1, max_size=20))
    return [
        frame(sales, ["shop", "item", "y", "kind", TIME], draw(zones)),
        frame(weather, ["shop", "temp", "sky", TIME], draw(zones)),
        frame(prices, ["item", "price", TIME], draw(zones)),
    ]


@pytest.mark.stress
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(given_tables=tables())
def test_training_rows_are_those_of_a_plain_as_of_join(
    make: Make, given_tables: list[pd.DataFrame]
) -> None:
    strategy, features = make(), fresh(FEATURES)
    fill(strategy, features, given_tables)
    same(strategy.training_rows(features, COLUMNS), reference(features, given_tables))


def random_tables(n: int = 3000) -> list[pd.DataFrame]:
    import numpy as np

    rng = np.random.default_rng(5)

    def one(count: int, **columns: Any) -> pd.DataFrame:
        times = pd.DatetimeIndex(
            pd.Timestamp(FIRST) + pd.to_timedelta(rng.integers(0, 24 * 60, count), unit="h")
        )
        return pd.DataFrame(
            {
                **{
                    k: rng.choice(v, count) if isinstance(v, list) else rng.normal(size=count)
                    for k, v in columns.items()
                },
                TIME: times,
            }
        )

    shop, item = [f"s{i}" for i in range(20)], [f"i{i}" for i in range(9)]
    return [
        one(n, shop=shop, item=item, y=0, kind=["k", "l"]),
        one(n, shop=[*shop[3:], "nobody"], temp=0, sky=["sun", "rain"]),
        one(n // 10, item=item[1:], price=0),
    ]


def test_feasts_own_join_gives_the_same_values(make: Make) -> None:
    strategy, features, given_tables = make(), fresh(FEATURES), random_tables()
    fill(strategy, features, given_tables)
    own = strategy.training_rows(features, COLUMNS)
    same(own, reference(features, given_tables))
    assert 0.05 < own["temp"].isna().mean() < 0.95
    reference_strategy = FeastRetrieval(strategy.options.model_copy(update={"join": "feast"}))
    same(reference_strategy.training_rows(features, COLUMNS), own)
    with pytest.raises(ConfigError, match="what was known at one moment"):
        reference_strategy.training_rows(features, COLUMNS, FIRST)
    with pytest.raises(DataError, match=r"\['temq'\] are in no view; Did you mean 'temp'"):
        reference_strategy.training_rows(features, ["temq"])


def test_parts_are_whole_series_of_one_state_of_the_rows(make: Make) -> None:
    strategy, features, given_tables = make(), fresh(FEATURES), random_tables()
    fill(strategy, features, given_tables)
    whole = strategy.training_rows(features, COLUMNS)
    views = [
        strategy.view_rows(features, name, columns).to_pandas()
        for name, columns in zip(features.views, (["y"], ["temp", "sky"], ["price"]), strict=True)
    ]
    with strategy.parts(features, 200) as parts:
        strategy._offline.write(
            features.primary, features.views[features.primary], given_tables[0].assign(y=0.0)
        )
        assert len(parts) > 5
        rows = [part.training_rows(features, COLUMNS) for part in parts]
        for part in parts:  # every row of the series of a part, and hardly more
            weather = part.view_rows(features, [*features.views][1], ["temp", "sky"]).to_pandas()
            of_part = rows[[*parts].index(part)]["shop"].unique()
            expected = views[1][views[1]["shop"].isin(of_part)]
            got = weather[weather["shop"].isin(of_part)]
            assert got.astype(str).values.tolist() == expected.astype(str).values.tolist()
            assert len(weather) < len(views[1]) / 2
    same(pd.concat(rows, ignore_index=True), whole)
    assert max(map(len, rows)) < 300
    assert (strategy.training_rows(features, COLUMNS)["y"] == 0).mean() > 0.9


VERSIONED = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {"entity": ["shop"], "columns": ["y"], "ttl": "1d", "created": "known_since"},
            "weather": {"entity": ["shop"], "columns": ["temp"], "ttl": "2d", "created": "seen"},
        },
    }
)


def versions(column: str, created: str, *rows: tuple[int, float, int]) -> pd.DataFrame:
    """Rows of shop ``a``: day, value, day on which it became known."""
    return pd.DataFrame(
        [
            {
                "shop": "a",
                TIME: FIRST + timedelta(days=d),
                column: v,
                created: FIRST + timedelta(days=known),
            }
            for d, v, known in rows
        ]
    )


def test_the_newest_version_known_at_a_moment_is_read(make: Make) -> None:
    strategy, features = make(), fresh(VERSIONED)
    sales, weather = features.views
    write = strategy._offline.write
    write(
        sales,
        features.views[sales],
        versions("y", "known_since", (0, 1.0, 1), (1, 2.0, 2), (2, 3.0, 3)),
    )
    assert (
        write(sales, features.views[sales], versions("y", "known_since", (1, 20.0, 5), (0, 1.0, 1)))
        == 2
    )
    write(
        weather,
        features.views[weather],
        versions("temp", "seen", (0, 7.0, 1), (2, 9.0, 6), (0, 8.0, 4)),
    )
    assert (
        strategy._offline.rows(sales, features.views[sales]) == 4
    )  # a correction is appended, the same version twice is one

    def rows(known: int | None) -> list[list[float | None]]:
        at = None if known is None else FIRST + timedelta(days=known)
        found = strategy.training_rows(features, ["y", "temp"], at)[["y", "temp"]]
        return [[None if pd.isna(v) else v for v in row] for row in found.to_numpy().tolist()]

    assert rows(None) == [[1.0, 8.0], [20.0, 8.0], [3.0, 9.0]]
    assert rows(1) == [[1.0, 7.0]]
    assert rows(3) == [[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]
    assert rows(5) == [[1.0, 8.0], [20.0, 8.0], [3.0, 8.0]]
    assert rows(0) == []
    reference_strategy = FeastRetrieval(strategy.options.model_copy(update={"join": "feast"}))
    same(
        reference_strategy.training_rows(features, ["y", "temp"]),
        strategy.training_rows(features, ["y", "temp"]),
    )
    assert strategy.materialize(features, None, None, print) == {sales: 1, weather: 1}


def test_a_server_that_is_away_is_said_in_one_line(tmp_path: Path, server: dict[str, Any]) -> None:
    store = {"offline_store": {**server, "port": 1}, "project": "test"}
    with pytest.raises(DataError, match=r"PostgreSQL at 127\.0\.0\.1:1/tests: .*refused") as caught:
        FeastRetrieval(FeastOptions(store=store, state=tmp_path)).has_rows(FEATURES)
    assert "\n" not in str(caught.value)


def test_a_refused_row_leaves_the_old_rows(make: Make) -> None:
    strategy, features = make(), fresh(VERSIONED)
    name, view = next(iter(features.views.items()))
    strategy._offline.write(name, view, versions("y", "known_since", (0, 1.0, 1)))
    with pytest.raises(DataError, match=r"null in \['known_since'\]"):
        strategy._offline.write(
            name,
            view,
            versions("y", "known_since", (0, 2.0, 1), (1, 1.0, 1)).assign(known_since=None),
        )
    assert strategy._offline.read(name, view)["y"].tolist() == [1.0]


class _Elsewhere(WarehouseStore):
    """The warehouse path with a store that runs here: Feast's PostgreSQL."""

    def source(self, name: str, view: View) -> Any:
        from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
            PostgreSQLSource,
        )

        return PostgreSQLSource(
            table=view.table or name,
            name=f"{name}_rows",
            timestamp_field=TIME,
            created_timestamp_column=view.created or "",
        )


def test_a_warehouses_tables_are_read_through_feast(tmp_path: Path, server: dict[str, Any]) -> None:
    import psycopg

    with psycopg.connect(
        f"postgresql://tests@{server['host']}:{server['port']}/{server['database']}"
    ) as connection:
        connection.execute(
            "CREATE TABLE warehouse_sales (shop text, event_timestamp timestamptz, seen "
            "timestamptz, y double precision, sky text)"
        )
        for day, y, seen in ((1, 2.5, 1), (0, 1.5, 0), (1, 9.5, 4)):
            moments = (FIRST + timedelta(days=day), FIRST + timedelta(days=seen))
            connection.execute(
                "INSERT INTO warehouse_sales VALUES ('a', %s, %s, %s, 'sun')", (*moments, y)
            )
    content = {
        "project": "test",
        "provider": "local",
        "registry": {"path": str(tmp_path / "registry.db")},
        "online_store": {"type": "sqlite", "path": str(tmp_path / "online.db")},
        "offline_store": server,
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
    }
    view = {
        "entity": ["shop"],
        "columns": ["y", "sky"],
        "categories": ["sky"],
        "ttl": "1d",
        "table": "warehouse_sales",
        "created": "seen",
    }
    features = FeatureSet.model_validate({"primary": "sales", "views": {"sales": view}})
    store = _Elsewhere(content)
    assert store.rows("sales", features.views["sales"]) == 3
    assert joined_rows(features, store, ["y", "sky"])[["y", "sky"]].values.tolist() == [
        [1.5, "sun"],
        [9.5, "sun"],
    ]
    assert joined_rows(features, store, ["y"], FIRST + timedelta(days=1))["y"].tolist() == [
        1.5,
        2.5,
    ]
    with pytest.raises(ConfigError, match=r"made there \(table 'warehouse_sales'"):
        store.write("sales", features.views["sales"], pd.DataFrame())
