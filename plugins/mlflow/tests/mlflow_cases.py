"""What several tests and their child processes do with a registry. Children are forked from a
server that has MLflow imported already: see the root's ``conftest.py``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.store.store import STATE, VOID

from framework.errors import RefusedError
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft

CHILDREN = multiprocessing.get_context("forkserver")


def options_in(folder: Path, **changed: object) -> MlflowOptions:
    """Everything in one folder, on SQLite."""
    places = {
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "artifact_location": f"{folder}/artifacts",
        "ledger": f"sqlite:///{folder}/ledger.db",
        "cache": f"{folder}/cache",
        "experiment": "tests",
    }
    return MlflowOptions.model_validate({**places, **changed})


def child(function: Any, *arguments: Any) -> ForkServerProcess:
    """A process that has started on ``function``."""
    process = CHILDREN.Process(target=function, args=arguments)
    process.start()
    return process


def outcome(process: ForkServerProcess) -> int:
    """The exit code, negative for a signal."""
    process.join(120)
    assert process.exitcode is not None, "the process did not end"
    return process.exitcode


def opened(options: str, die_at: str | None) -> MlflowRegistry:
    """A registry on options in JSON whose process is killed when it reaches the step ``die_at``."""
    registry = MlflowRegistry(MlflowOptions.model_validate_json(options))

    def step(name: str) -> None:
        if name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    registry.step = step
    return registry


def register(options: str, folder: str, count: int, die_at: str | None = None) -> None:
    registry = opened(options, die_at)
    for i in range(count):
        registry.register(make_draft(Path(folder) / f"{os.getpid()}-{i}"), f"run {os.getpid()} {i}")


def move(
    options: str, alias: str, to: int, expected: int | None, die_at: str | None = None
) -> None:
    """Exits with 3 when it was refused."""
    try:
        opened(options, die_at).move("fake", alias, to, expected=expected)
    except RefusedError:
        raise SystemExit(3) from None


def prune(options: str, die_at: str | None = None) -> None:
    opened(options, die_at).prune("fake")


def set_up(options: str, die_at: int, in_place: bool) -> None:
    """MLflow's database, killed before the statement of that number; ``in_place``: as MLflow itself
    does it.
    """
    import mlflow
    import sqlalchemy as sa
    from framework_mlflow.store import setup

    setup._EMPTY.clear()  # the process that it is forked from has made the migrations already
    count = 0

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal count
        count += statement.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE"))
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    registry = MlflowRegistry(MlflowOptions.model_validate_json(options))
    if in_place:
        mlflow.MlflowClient(registry.options.tracking_uri).get_experiment("0")
    else:
        registry.store.open()
    print("statements", count)


def check_halves(registry: MlflowRegistry, name: str = "fake") -> None:
    """Nothing is crossed: every pair proves, both halves are level, everything else is void,
    MLflow's aliases are the ledger's.
    """
    pairs = registry.pairs(name)
    for pair in pairs:
        registry.fetch(pair)
    numbers = {pair.version for pair in pairs}
    halves = {half: registry.store.versions(name, half) for half in HALVES}
    assert max(halves["preprocessor"]) == max(halves["model"]) == max(numbers)
    for half, versions in halves.items():
        assert {n for n, tags in versions.items() if tags[STATE] == "complete"} == numbers
        assert {n for n, tags in versions.items() if tags[STATE] == VOID} == set(versions) - numbers
        aliases = {alias: pair.version for pair in pairs for alias in pair.aliases}
        assert registry.store.aliases(name, half) == aliases
