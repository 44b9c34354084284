"""Several processes at once, on SQLite from an empty folder and on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, child, move, options_in, outcome, register

from framework.testing.servers.postgresql import server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with server() as place:
        yield f"postgresql+psycopg://tests@{place}"


def _race(options: MlflowOptions, tmp_path: Path) -> MlflowRegistry:
    """Four processes, three registrations each; nothing is set up before."""
    processes = [
        child(register, options.model_dump_json(), str(tmp_path / "drafts"), 3) for _ in range(4)
    ]
    assert [outcome(process) for process in processes] == [0, 0, 0, 0]
    registry = MlflowRegistry(options)
    assert [pair.version for pair in registry.pairs("fake")] == list(range(12, 0, -1))
    assert len({pair.run_id for pair in registry.pairs("fake")}) == 12
    check_halves(registry)
    return registry


def _contest(registry: MlflowRegistry) -> None:
    """Four processes move an alias from the same place: one wins, the others are told."""
    registry.move("fake", "production", 1, expected=None)
    processes = [
        child(move, registry.options.model_dump_json(), "production", to, 1) for to in (2, 3, 4, 5)
    ]
    assert sorted(outcome(process) for process in processes) == [0, 3, 3, 3]
    moves = registry.history("fake", "production")
    assert [entry.before for entry in moves] == [None, 1]
    assert registry.resolve("fake", "production").version == moves[-1].after
    check_halves(registry)


def test_processes_on_sqlite_that_is_not_there_yet(tmp_path: Path) -> None:
    _contest(_race(options_in(tmp_path / "state"), tmp_path))


@pytest.mark.stress
def test_processes_on_postgresql(postgresql: str, tmp_path: Path) -> None:
    """MLflow and the ledger in one database."""
    _contest(
        _race(options_in(tmp_path / "state", tracking_uri=postgresql, ledger=postgresql), tmp_path)
    )
