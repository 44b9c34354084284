"""Tries to break the pair: processes that register at once, and readers that load while others are
killed (kill -9) at every step.

    python benchmarks/pair_stress.py [--processes 8] [--registrations 25] [--readers 4] [--loads
    10000] [--databases sqlite postgresql]

races   every process registers pairs of the same name at once; counted: numbers that are not 1…n,
halves of different pairs, lost runs kills   readers resolve ``production`` and load it in a loop
while registrations, moves and prunings are killed at each of their steps; counted: loads whose
halves are not of one pair, and loads that failed. Afterwards ``verify`` must find nothing broken.

PostgreSQL is a server of its own on a free port. Exit code 1 when anything was counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framework_mlflow.options import MlflowOptions, Retention
from framework_mlflow.registry.registry import MlflowRegistry

from framework.errors import FrameworkError
from framework.pairs.manifest import HALVES, MANIFEST
from framework.testing.contracts.drafts import make_draft
from framework.testing.servers.postgresql import server

CHILDREN = multiprocessing.get_context("forkserver")
NAME = "fake"
REGISTER = (
    "saved",
    "uploaded",
    "locked",
    "preprocessor created",
    "model created",
    "before commit",
    "committed",
    "preprocessor shown",
)
MOVE = ("before commit", "committed", "preprocessor alias shown", "model alias shown")
PRUNE = (
    "before commit",
    "committed",
    "preprocessor deleted",
    "preprocessor files deleted",
    "model deleted",
)


def opened(options: str, die_at: str | None = None) -> MlflowRegistry:
    """A registry whose process is killed when it reaches the step ``die_at``."""
    registry = MlflowRegistry(MlflowOptions.model_validate_json(options))

    def step(name: str) -> None:
        if name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    registry.step = step  # type: ignore[method-assign]
    return registry


def register(options: str, folder: str, count: int, ready: Any, spent: Any) -> None:
    """``count`` registrations, after all processes are ready; puts the seconds of each into
    ``spent``.
    """
    registry = opened(options)
    registry.store.client.get_experiment("0")
    drafts = [make_draft(Path(folder) / f"{os.getpid()}-{i}") for i in range(count)]
    ready.wait()
    for i, draft in enumerate(drafts):
        start = time.perf_counter()
        registry.register(draft, f"{os.getpid()}-{i}")
        spent.put(time.perf_counter() - start)


def disturb(options: str, folder: str, operation: str, die_at: str) -> None:
    """One operation that is killed on its way."""
    registry = opened(options, die_at)
    if operation == "register":
        registry.register(make_draft(Path(folder) / str(os.getpid())), str(os.getpid()))
    elif operation == "prune":
        registry.prune(NAME)
    else:
        here = registry.resolve(NAME, "production").version
        to = next(pair.version for pair in registry.pairs(NAME) if pair.version != here)
        registry.move(NAME, "production", to, expected=here)


def read(options: str, loads: Any, results: Any) -> None:
    """Load ``production`` until all loads are done; puts ``(done, mismatched, [errors])``."""
    registry = opened(options)
    done, mismatched, errors = 0, 0, []
    while True:
        with loads.get_lock():
            if loads.value <= 0:
                break
            loads.value -= 1
        done += 1
        try:
            proven = registry.fetch(registry.resolve(NAME, "production"))
        except FrameworkError as error:
            errors.append(str(error))
            continue
        folders = [folder.parent.parent for folder in (proven.preprocessor, proven.model)]
        owners = {json.loads((folder / MANIFEST).read_text())["pair_id"] for folder in folders}
        mismatched += owners != {proven.version.pair_id}
    results.put((done, mismatched, errors))


def races(
    options: MlflowOptions, folder: Path, processes: int, registrations: int
) -> tuple[str, int]:
    ready, spent = CHILDREN.Barrier(processes), CHILDREN.Queue()
    arguments = (options.model_dump_json(), str(folder / "drafts"), registrations, ready, spent)
    workers = [CHILDREN.Process(target=register, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    total = processes * registrations
    seconds = sorted(spent.get(timeout=600) for _ in range(total))
    for worker in workers:
        worker.join()
    registry = opened(options.model_dump_json())
    pairs = registry.pairs(NAME)
    crossed = sum(1 for pair in pairs if not _is_whole(registry, pair))
    lost = total - len({pair.run_id for pair in pairs})
    gaps = int([pair.version for pair in pairs] != list(range(total, 0, -1)))
    broken = [finding.text for finding in registry.verify() if not finding.repaired]
    text = (
        f"{total} registrations, {crossed} crossed, {lost} lost, {gaps} gaps, {len(broken)} "
        "broken; "
    )
    return (
        text + f"median {seconds[total // 2]:.2f} s, slowest {seconds[-1]:.2f} s",
        crossed + lost + gaps + len(broken),
    )


def _is_whole(registry: MlflowRegistry, pair: Any) -> bool:
    """MLflow's two versions of that number are of this pair, and its files prove it."""
    states = registry.read_states(pair)
    same = (
        {states[half].tags["framework.pair_id"] for half in HALVES} == {pair.pair_id}
        if len(states) == len(HALVES)
        else False
    )
    registry.fetch(pair)
    return same


def kills(options: MlflowOptions, folder: Path, readers: int, loads: int) -> tuple[str, int]:
    text = options.model_dump_json()
    registry = opened(text)
    for i in range(3):
        registry.register(make_draft(folder / f"first{i}"), f"first{i}")
    if not any("production" in pair.aliases for pair in registry.pairs(NAME)):
        registry.move(NAME, "production", registry.resolve(NAME, "latest").version, expected=None)
    left, results = CHILDREN.Value("q", loads), CHILDREN.Queue()
    workers = [CHILDREN.Process(target=read, args=(text, left, results)) for _ in range(readers)]
    for worker in workers:
        worker.start()
    steps = [
        (operation, step)
        for operation, all_ in (("register", REGISTER), ("move", MOVE), ("prune", PRUNE))
        for step in all_
    ]
    killed = 0
    while left.value > 0 or killed < len(steps):
        victim = CHILDREN.Process(
            target=disturb, args=(text, str(folder / "killed"), *steps[killed % len(steps)])
        )
        victim.start()
        victim.join()
        killed += 1
    found = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    done, mismatched = sum(f[0] for f in found), sum(f[1] for f in found)
    errors = [error for f in found for error in f[2]]
    findings = registry.verify()
    broken = [finding.text for finding in findings if not finding.repaired] + [
        f.text for f in registry.verify()
    ]
    for line in (*errors[:3], *broken[:3]):
        print(f"    {line}", file=sys.stderr)
    told = (
        f"{done} loads by {readers} readers during {killed} kills, {mismatched} mismatched, "
        f"{len(errors)} failed; "
    )
    return told + f"verify: {len(findings)} findings, {len(broken)} not repaired", mismatched + len(
        errors
    ) + len(broken)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """MLflow's database and the ledger's."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/ledger.db"
        return
    with server() as place:
        yield (f"postgresql+psycopg://tests@{place}",) * 2


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--registrations", type=int, default=25)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--loads", type=int, default=10_000)
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    given = parser.parse_args()
    tables = [f"mlflow.store.{part}.sqlalchemy_store" for part in ("tracking", "model_registry")]
    CHILDREN.set_forkserver_preload(
        ["mlflow.pyfunc", *tables, "framework_mlflow.registry.registry"]
    )
    wrong = 0
    for kind in given.databases:
        with (
            tempfile.TemporaryDirectory() as temporary,
            database(kind, Path(temporary)) as (tracking, ledger),
        ):
            folder = Path(temporary)
            options = MlflowOptions(
                tracking_uri=tracking,
                ledger=ledger,
                artifact_location=str(folder / "artifacts"),
                cache=str(folder / "cache"),
                experiment="stress",
                retention=Retention(last=5, days=0),
            )
            for what, attempt in (
                (
                    "races",
                    lambda o=options, f=folder: races(o, f, given.processes, given.registrations),
                ),
                ("kills", lambda o=options, f=folder: kills(o, f, given.readers, given.loads)),
            ):
                text, count = attempt()
                print(f"{kind:11} {what}  {text}", flush=True)
                wrong += count
    print(
        "summary: "
        f"{'nothing was crossed, lost, mismatched or broken' if not wrong else f'{wrong} faults'}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
