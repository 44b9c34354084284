"""``ledger=postgresql`` against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import orjson
import psycopg
import pytest
from framework_sql import PostgresLedgerOptions

from framework.errors import DataError
from framework.interfaces.ledger import LedgerCounts
from framework.plugins.discovery import load_plugins
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.contracts.ledger import LedgerContract
from framework.testing.servers import postgresql
from framework.testing.servers.fake_server import make_deployment, make_row, server_process
from framework.testing.servers.killed_writers import kill_writers

#: Where nothing listens.
NOWHERE = "postgresql://tests@127.0.0.1:9/tests?connect_timeout=1"


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with postgresql.server() as made:
        yield f"postgresql://tests@{made}"


@pytest.fixture
def empty(place: str, request: pytest.FixtureRequest) -> str:
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    request.cls.options = {"url": place}
    return place


@pytest.mark.usefixtures("empty")
class TestPostgreSQL(LedgerContract):
    name = "postgresql"
    options: ClassVar[dict[str, Any]] = {"url": NOWHERE}

    def test_forecasts_wait_while_the_database_is_gone_and_are_written_later(
        self, tmp_path: Path, empty: str
    ) -> None:
        outcomes: list[tuple[str, int]] = []
        writer = self.serve(
            tmp_path,
            ["a", "b"],
            count=lambda outcome, n: outcomes.append((outcome, n)),
            url=NOWHERE,
            seconds=1,
        )
        writer.hooks.flush_due()
        assert outcomes == []
        assert self.make().counts("fake", tmp_path) == LedgerCounts(0, 2)
        writer._limits = self.make(seconds=1).options
        writer.hooks.flush_due()
        assert outcomes == [("written", 2)]
        writer.hooks.server_stopped()
        assert len(self.read(tmp_path)) == 12
        assert self.make().counts("fake", tmp_path) == LedgerCounts(0, 0)

    def test_what_a_database_that_stays_away_cost_is_counted(self, tmp_path: Path) -> None:
        outcomes: list[tuple[str, int]] = []
        writer = self.serve(
            tmp_path,
            ["a", "b"],
            count=lambda outcome, n: outcomes.append((outcome, n)),
            url=NOWHERE,
            rows=1,
        )
        assert outcomes == [("lost", 2)]
        writer.hooks.server_stopped()
        assert self.make().counts("fake", tmp_path) == LedgerCounts(2, 0)
        with pytest.raises(DataError, match="ledger=postgresql cannot be read"):
            self.make(url=NOWHERE).counts("fake", tmp_path)

    def test_a_process_of_another_machine_that_was_killed_is_counted_when_it_is_silent(
        self, tmp_path: Path, empty: str
    ) -> None:
        child = os.fork()
        if not child:
            try:
                self.serve(tmp_path / "there", ["a", "b"], rows=1)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute("UPDATE forecast_ledger_fake_processes SET offered = 5")
            assert self.make().counts("fake", tmp_path) == LedgerCounts(0, 3)
            connection.execute("UPDATE forecast_ledger_fake_processes SET seen = '2024-01-01'")
        assert self.make().counts("fake", tmp_path) == LedgerCounts(3, 0)

    @pytest.mark.parametrize("limit", [{"days": 1}, {"megabytes": 1}])
    def test_the_oldest_days_go(self, tmp_path: Path, empty: str, limit: dict[str, int]) -> None:
        old = datetime.now(UTC) - timedelta(days=3)
        self.serve(tmp_path, ["a"], at=old).hooks.server_stopped()
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO forecast_ledger_fake (at, airport) SELECT %s, repeat('x', 1000) "
                "FROM generate_series(1, 2000)",
                [old],
            )
        writer = self.serve(tmp_path, ["b"], **limit)
        writer.hooks.server_stopped()
        assert set(self.read(tmp_path)["airport"].to_pylist()) == {"b"}

    @pytest.mark.stress
    def test_the_loss_of_twenty_killed_workers_is_exact(self, tmp_path: Path, empty: str) -> None:
        state, node = tmp_path / "state", {"name": "postgresql", "url": empty, "seconds": 1}
        options = {"port": 0, "workers": 2}
        with server_process("fastapi", options, tmp_path, ledger=node) as (_, url):
            counts = state / "serving" / "ledger-counts" / "fake"
            losses = kill_writers(url, self.make(seconds=1), state, counts, kills=20, seed=17)
        assert losses.costly > 5

    def test_long_names_that_begin_alike_have_tables_of_their_own(self, tmp_path: Path) -> None:
        names = ["n" * 70 + end for end in "ab"]
        for name in names:
            assert self.make().counts(name, tmp_path) == LedgerCounts(0, 0)
            assert list(self.make().read(name, tmp_path, ["*"], None)) == []
        from framework_sql.ledger import table_of

        tables = {table_of(self.make().options, name) for name in names}
        assert len(tables) == 2
        assert all(len(f"{table}_processes") < 63 for table in tables)


def test_answers_are_the_same_without_the_database(tmp_path: Path) -> None:
    bodies = []
    for url in (None, NOWHERE):
        deployment = make_deployment(tmp_path / str(url is None), ledger={})
        if url is not None:
            ledger = load_plugins().load("ledger", "postgresql")(PostgresLedgerOptions(url=url))
            made = deployment.parts.make
            parts: Any = SimpleNamespace(
                plugins=deployment.parts.plugins,
                make=lambda group, made=made, ledger=ledger: (
                    ledger if group == "ledger" else made(group)
                ),
            )
            deployment = replace(deployment, parts=parts)
        service = Service(deployment, ServingOptions())
        service.start()

        async def ask(service: Service) -> bytes:
            body = orjson.dumps({"rows": [make_row()]})
            call = Call("POST", "/predict", b"", {}, b"id")
            answer = await service.answers.payload(body, call)
            await service.close()
            return answer.body

        bodies.append(asyncio.run(ask(service)))
        outcome = "written" if url is None else "lost"
        assert f'framework_records_total{{outcome="{outcome}"}} 1.0' in (
            service.metrics.render().decode()
        )
    assert bodies[0] == bodies[1]
