"""The forecast ledger under Ray Serve: every replica writes, and a killed one's loss is exact."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from framework.interfaces.ledger import FilesLedgerOptions
from framework.monitoring.ledger_files import FilesLedger
from framework.testing.servers import postgresql
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import FakeParts, make_row, server_process
from framework.testing.servers.killed_writers import kill_writers

from .conftest import fresh_options, replicas

LEDGER = FilesLedger(FilesLedgerOptions())


@pytest.mark.stress
def test_every_replica_writes_and_the_loss_of_a_killed_one_is_exact(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def kept() -> int:
        return sum(
            len(set(table["request_id"].to_pylist()))
            for table in LEDGER.read("fake", state, ["request_id"], None)
        )

    def settled() -> bool:
        return LEDGER.counts("fake", state).waiting == 0

    options = fresh_options(topology="fused", forecast_api={"min_replicas": 2})
    with server_process("ray", options, tmp_path, ledger={"seconds": 2}) as (_, url):

        def ask(requests: int) -> int:
            """Of a new connection each, so that both replicas get some."""
            return sum(
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=60).is_success
                for _ in range(requests)
            )

        answered = ask(40)
        assert answered == 40
        wait_for(settled)
        assert (kept(), LEDGER.counts("fake", state).missing) == (40, 0)
        folder = state / "serving" / "ledger" / "fake"
        writers = {path.name.partition(".")[0] for path in folder.glob("*/*.parquet")}
        assert len(writers) == 2
        answered += ask(30)
        for process in replicas(url, "ForecastAPI"):
            process.kill()
        wait_for(settled)
        assert kept() + LEDGER.counts("fake", state).missing == answered
        assert LEDGER.counts("fake", state).missing > 0


@pytest.mark.stress
@pytest.mark.parametrize("name", ["files", "postgresql"])
def test_the_loss_of_twenty_killed_replicas_is_exact(tmp_path: Path, name: str) -> None:
    state, node = tmp_path / "state", {"name": name, "seconds": 1}
    counts = state / "serving" / "ledger" / "fake" / "counts"
    options = fresh_options(topology="fused", forecast_api={"min_replicas": 2})
    with ExitStack() as stack:
        if name == "postgresql":
            node["url"] = f"postgresql://tests@{stack.enter_context(postgresql.server())}"
            counts = state / "serving" / "ledger-counts" / "fake"
        ledger = FakeParts(tmp_path, ledger=node).make("ledger")
        _, url = stack.enter_context(server_process("ray", options, tmp_path, ledger=node))
        losses = kill_writers(url, ledger, state, counts, kills=20, seed=17)
    assert losses.costly > 5
