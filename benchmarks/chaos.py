"""``make chaos``: whatever happens to a project, no pair is lost, no load mixes two pairs, and no
command waits longer than its limit.

    CHAOS_ROUNDS=200 CHAOS_SEED=1 python benchmarks/chaos.py

Each round is of one kind, drawn by the seed:

killed   a command, any of them, is killed (kill -9) at a random moment, while a reader loads
         ``production`` again and again; the same command and ``run=verify`` go on afterwards
locked   another process has the ledger or MLflow's database locked for some seconds
deleted  a file of a pair, the ledger, MLflow's database or the offline store is deleted
older    the ledger is an earlier copy of itself
foreign  the ledger, MLflow's database or a half of a pair is something else
clients  a server is asked by clients that are slow, silent or hostile; others are answered

Deleted, older and foreign files are those of a copy of the project; whatever a command says there
is one line, and ``run=verify verify.take_up=true`` brings back the pairs that lost their record.
Prints a line a round, a table and a summary. Exits with 1 when anything was counted.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_clients import attack
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.errors import FrameworkError
from framework.files import PATIENCE, exclusive
from framework.pairs.manifest import MANIFEST
from framework.testing.servers import command
from framework.testing.servers.fake_server import server_process

ROOT = Path(__file__).parents[1]
EXPERIMENT = ("+experiment=shops", "model=seasonal_naive", "retrieval=file")
FEAST = ("+experiment=shops", "model=seasonal_naive", "retrieval=feast", "feature_store=local")
KINDS = (*("killed",) * 5, "locked", "deleted", "older", "foreign", "clients")
#: Seconds that a command may take: what it may wait for a lock.
LIMIT = PATIENCE
#: Pairs that ``run=prune`` keeps.
KEPT = 4
#: What the commands import, so that a round takes seconds.
IMPORTS = [
    "framework.models.boosting",
    "framework.plugins.builtin",
    "framework.runs.backtest",
    "framework.runs.ingest",
    "framework.runs.materialize",
    "framework.runs.predict",
    "framework.runs.promote",
    "framework.runs.train",
    "framework.runs.tune",
    "framework.runs.verify",
    "framework_baselines.seasonal_naive",
    "framework_files.source",
    "framework_mlflow.prepared_store",
    "framework_mlflow.registry.registry",
    "framework_mlflow.tracking.runs",
    "framework_preprocessing.native",
]


class PromiseError(Exception):
    """A round in which a promise was not kept."""


def commands(work: Path) -> dict[str, tuple[str, ...]]:
    """The arguments of every command that can be killed."""
    keep = (f"registry.retention.last={KEPT}", "registry.retention.days=0")
    elsewhere = f"paths.state={work / 'restored'}"
    return {
        "train": EXPERIMENT,
        "ingest": (*EXPERIMENT, "run=ingest"),
        "materialize": (*FEAST, "run=materialize"),
        "backtest": (*EXPERIMENT, "run=backtest"),
        "tune": (*EXPERIMENT, "run=tune", "tune.trials=2"),
        "promote": (*EXPERIMENT, "run=promote", "alias=production", "gate.baseline_margin=10"),
        "rollback": (*EXPERIMENT, "run=rollback", "alias=production"),
        "alias": ("name=shops", "run=alias", "alias=staging", "version=VERSION"),
        "predict": (*EXPERIMENT, "run=predict", "predict.pair=production"),
        "compare": (*EXPERIMENT, "run=compare"),
        "monitor": (*EXPERIMENT, "run=monitor"),
        "pairs": ("run=pairs",),
        "history": ("run=history", "name=shops"),
        "diff": ("run=diff", "name=shops", "version=VERSION", "against=production"),
        "verify": ("run=verify",),
        "plugins": ("run=plugins",),
        "dashboards": (*EXPERIMENT, "run=dashboards"),
        "backup": ("run=backup", f"backup.output={work / 'backup.tar.gz'}"),
        "restore": ("run=restore", f"restore.input={work / 'whole.tar.gz'}", elsewhere),
        "upgrade": ("run=upgrade",),
        "prune": (*EXPERIMENT, "run=prune", *keep),
        "reproduce": (*EXPERIMENT, "run=reproduce", "alias=production"),
        "serve": (*EXPERIMENT, "run=serve", "alias=production", "serving.port=0"),
    }


#: Exit codes that are answers of a command and no failures: a gate, nothing to compare with.
ANSWERS = {
    **dict.fromkeys(("promote", "reproduce"), (0, 3)),
    **dict.fromkeys(("rollback", "compare", "monitor", "tune"), (0, 1, 2, 3)),
    "restore": (0, 2),
}


@dataclass
class Tally:
    """What was counted, by kind."""

    rounds: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    longest: dict[str, float] = field(default_factory=dict)
    lost: int = 0

    def waited(self, kind: str, seconds: float) -> None:
        self.longest[kind] = max(self.longest.get(kind, 0.0), seconds)


class World:
    """A project with pairs, and what is known of it."""

    def __init__(self, work: Path, chance: random.Random) -> None:
        self.work, self.chance, self.tally = work, chance, Tally()
        self.kind = "made"
        self.project = work / "project"
        shutil.copytree(
            ROOT / "examples" / "project", self.project, ignore=shutil.ignore_patterns("state")
        )
        shutil.copytree(ROOT / "conf" / "feature_store", self.project / "conf" / "feature_store")
        self.commands = commands(work)
        for name in ("train", "train", "promote"):
            self.must(name)
        self.earlier = work / "earlier.db"
        shutil.copy(self.state / "ledger.db", self.earlier)
        self.must("train")
        archive = f"backup.output={work / 'whole.tar.gz'}"
        self.run(("run=backup", archive), (0,))
        self.known = self.pairs(self.state)
        self.seconds: dict[str, float] = {}

    @property
    def state(self) -> Path:
        return self.project / "state"

    def arguments(self, name: str) -> tuple[str, ...]:
        version = str(self.chance.choice(sorted(self.pairs(self.state))))
        return tuple(part.replace("VERSION", version) for part in self.commands[name])

    def run(
        self, arguments: tuple[str, ...], codes: tuple[int, ...], project: Path | None = None
    ) -> dict[str, Any]:
        """Run a command to its end: an answer, in one line, within the limit."""
        begun = time.monotonic()
        try:
            done = command.run(*arguments, cwd=project or self.project, timeout=LIMIT)
        except TimeoutError as error:
            raise PromiseError(f"{' '.join(arguments)}: not done after {LIMIT:g} s") from error
        finally:
            self.tally.waited(self.kind, time.monotonic() - begun)
        lines = done.stdout.splitlines()
        result: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        text = " ".join(str(result.get("error", done.stderr[-300:])).split())
        label = f"{' '.join(arguments)}: exit {done.returncode}: {text[:300]}"
        if done.returncode not in codes:
            raise PromiseError(label)
        if done.returncode and ("Traceback" in done.stderr or "defect" in text or not result):
            raise PromiseError(f"no line with what next: {label}")
        return result

    def must(self, name: str) -> dict[str, Any]:
        return self.run(self.commands[name], (0,))

    def pairs(self, state: Path) -> dict[int, str]:
        return {pair.version: pair.digest for pair in registry_of(state).pairs("shops")}

    def count_lost(self, state: Path, known: dict[int, str]) -> None:
        """Every pair that was registered is there and can be proven."""
        registry = registry_of(state)
        present = {pair.version: pair for pair in registry.pairs("shops")}
        lost = [n for n, digest in known.items() if n not in present or present[n].digest != digest]
        for number, pair in present.items():
            try:
                registry.fetch(pair)
            except FrameworkError as error:
                lost.append(number)
                print(f"  version {number} cannot be loaded: {error}")
        self.tally.lost += len(lost)
        if lost:
            raise PromiseError(f"lost: {sorted(lost)}")

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """A copy of the project that may be spoiled."""
        folder = self.work / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.project, folder)
        yield folder
        shutil.rmtree(folder)


def registry_of(state: Path) -> MlflowRegistry:
    return MlflowRegistry(
        MlflowOptions(
            tracking_uri=f"sqlite:///{state}/mlflow.db",
            ledger=f"sqlite:///{state}/ledger.db",
            artifact_location=str(state / "artifacts"),
            cache=str(state / "cache"),
            experiment="shops",
        )
    )


def killed(world: World) -> str:
    name = world.chance.choice(sorted(world.commands))
    arguments = world.arguments(name)
    expected = world.seconds.get(name, 2.0)
    moment = world.chance.uniform(0.0, 1.1) * expected
    shutil.rmtree(world.work / "restored", ignore_errors=True)
    (world.work / "backup.tar.gz").unlink(missing_ok=True)
    process = command.start(*arguments, cwd=world.project)
    ended = process.wait(moment)
    process.kill()
    process.finish(LIMIT)
    if name == "prune":
        world.known = newest(world)
    world.count_lost(world.state, world.known)
    begun = time.monotonic()
    if name == "serve":
        world.run(world.commands["predict"], (0,))
    else:
        (world.work / "backup.tar.gz").unlink(missing_ok=True)
        world.run(arguments, ANSWERS.get(name, (0,)))
        if name == "restore":  # refused where all of it was there before the kill
            world.run(("run=verify", arguments[-1]), (0,))
        world.seconds[name] = time.monotonic() - begun
    world.run(world.commands["verify"], (0,))
    if name == "prune":
        world.known = newest(world)
    world.known |= world.pairs(world.state)
    if len(world.known) > 2 * KEPT:  # so that a round does not get slower and slower
        world.must("prune")
        world.known = newest(world)
    world.count_lost(world.state, world.known)
    return f"run={name} " + ("had ended" if ended else f"after {moment:.1f} s")


def newest(world: World) -> dict[int, str]:
    """What a pruning has to leave."""
    pairs = registry_of(world.state).pairs("shops")
    numbers = sorted(world.known, reverse=True)[:KEPT]
    numbers += [pair.version for pair in pairs if pair.aliases]
    return {number: digest for number, digest in world.known.items() if number in numbers}


def locked(world: World) -> str:
    seconds = world.chance.uniform(0.5, 4.0)
    what = world.chance.choice(("the ledger's queue", "ledger.db", "mlflow.db"))
    taken = threading.Event()

    def keep() -> None:
        if what == "the ledger's queue":
            with exclusive(world.state / "ledger.db.lock", "the ledger"):
                taken.set()
                time.sleep(seconds)
            return
        with closing(sqlite3.connect(world.state / what, timeout=60)) as database:
            database.execute("BEGIN IMMEDIATE")
            taken.set()
            time.sleep(seconds)

    thread = threading.Thread(target=keep)
    thread.start()
    taken.wait(60)
    name = world.chance.choice(("alias", "train", "verify", "predict", "backup"))
    try:
        world.run(world.arguments(name), (0,))
    finally:
        thread.join()
    world.known |= world.pairs(world.state)
    world.count_lost(world.state, world.known)
    return f"run={name} with {what} locked for {seconds:.1f} s"


def deleted(world: World) -> str:
    what = world.chance.choice(("a file of a pair", "ledger.db", "mlflow.db", "the offline store"))
    with world.copy() as project:
        state = project / "state"
        if what == "a file of a pair":
            victims = sorted(p for p in (state / "artifacts").rglob("*") if p.is_file())
            victim = world.chance.choice(victims)
            victim.unlink()
            verified = world.run(("run=verify",), (0, 3), project)
            if verified["status"] == "done":  # of a pair that was removed, or a run's own
                return f"{what} that is none's: {victim.name}"
        elif what == "the offline store":
            stores = [p for p in state.iterdir() if p.is_dir() and p.name.startswith("offline")]
            for store in stores:
                shutil.rmtree(store)
            world.run(EXPERIMENT, (0,), project)
            world.count_lost(state, world.known)
        else:
            (state / what).unlink()
            for arguments in (("run=pairs",), world.commands["predict"], ("run=verify",)):
                world.run(arguments, (0, 1, 2, 3), project)
            if what == "ledger.db":
                taken_up(world, project)
    return what


def taken_up(world: World, project: Path) -> None:
    """No pair of a lost or older ledger is lost."""
    world.run(("run=verify",), (3,), project)
    world.run(("run=verify", "verify.take_up=true"), (0, 3), project)
    world.run(("run=verify",), (0,), project)
    world.count_lost(project / "state", world.known)


def older(world: World) -> str:
    with world.copy() as project:
        for file in (project / "state").glob("ledger.db*"):
            file.unlink()
        shutil.copy(world.earlier, project / "state" / "ledger.db")
        known = world.pairs(project / "state")
        complaint = world.run(("run=verify",), (0, 3), project)
        if complaint["status"] != "done":
            world.run(EXPERIMENT, (1,), project)
            world.run(("run=verify", "verify.take_up=true"), (0, 3), project)
            present = world.pairs(project / "state")
            lost = [number for number in world.known if number not in present]
            world.tally.lost += len(lost)
            if lost:
                raise PromiseError(f"lost: {lost}")
        elif not known.items() >= world.known.items():
            raise PromiseError("an older ledger is taken for a whole one")
    return "ledger.db of an earlier moment"


def foreign(world: World) -> str:
    what = world.chance.choice(("ledger.db", "mlflow.db", "a half of another pair", "an empty one"))
    with world.copy() as project:
        state = project / "state"
        if what == "a half of another pair":
            registry = registry_of(state)
            one, two = world.chance.sample(registry.pairs("shops"), 2)
            target, source = registry.fetch(one).model, registry.fetch(two).model
            shutil.rmtree(target.parent.parent)
            shutil.copytree(source.parent.parent, target.parent.parent)
            world.run(("run=verify",), (3,), project)
        else:
            file = state / ("ledger.db" if what == "an empty one" else what)
            file.write_bytes(b"" if what == "an empty one" else world.chance.randbytes(5000))
            for arguments in (world.commands["predict"], ("run=verify",)):
                world.run(arguments, (0, 1, 2, 3) if what == "an empty one" else (1, 3), project)
    return what


def clients(world: World) -> str:
    folder = world.work / f"server-{world.chance.getrandbits(32)}"
    folder.mkdir()
    options = {"port": 0, "max_in_flight": 8, "body_timeout": 1.0, "head_timeout": 1.5}
    with server_process("fastapi", options, folder) as (_, url):
        attacks, problems, seconds = attack(url, world.chance)
    world.tally.waited(world.kind, seconds)
    shutil.rmtree(folder, ignore_errors=True)
    if problems:
        raise PromiseError("; ".join(problems[:3]))
    return ", ".join(attacks)


def read(state: str, stop: Any, counts: Any) -> None:
    """Load ``production`` until it is told to stop. A load that fails is tried once more: the pair
    may have been removed after it was resolved. Counts loads, mismatched and failed ones.
    """
    registry = registry_of(Path(state))
    while not stop.is_set():
        for tried in range(2):
            try:
                proven = registry.fetch(registry.resolve("shops", "production"))
            except FrameworkError as error:
                if tried:
                    counts[2] += 1
                    print(f"  a load failed: {error}", file=sys.stderr)
                continue
            halves = [folder.parent.parent for folder in (proven.preprocessor, proven.model)]
            owners = {json.loads((half / MANIFEST).read_text())["pair_id"] for half in halves}
            counts[0] += 1
            counts[1] += owners != {proven.version.pair_id}
            break
        time.sleep(0.02)


def main(rounds: int, seed: int) -> int:
    command.preload(*IMPORTS)
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory() as work:
        world = World(Path(work), random.Random(seed))
        stop, counts = context.Event(), context.Array("l", [0, 0, 0])
        reader = context.Process(target=read, args=(str(world.state), stop, counts))
        reader.start()
        for number in range(rounds):
            world.kind = world.chance.choice(KINDS)
            play: Callable[[World], str] = globals()[world.kind]
            tally, begun = world.tally, time.monotonic()
            tally.rounds[world.kind] = tally.rounds.get(world.kind, 0) + 1
            try:
                text = play(world)
            except PromiseError as error:
                tally.failed[world.kind] = tally.failed.get(world.kind, 0) + 1
                text = f"FAILED: {error}"
            seconds = time.monotonic() - begun
            print(f"round {number + 1:3} {world.kind:8} {seconds:5.1f} s  {text}", flush=True)
        stop.set()
        reader.join()
        return report(world.tally, list(counts), rounds, seed)


def report(tally: Tally, counts: list[int], rounds: int, seed: int) -> int:
    print(f"\n{'kind':8} {'rounds':>6} {'failed':>6} {'longest wait':>12}")
    for kind in dict.fromkeys(KINDS):
        print(
            f"{kind:8} {tally.rounds.get(kind, 0):6} {tally.failed.get(kind, 0):6} "
            f"{tally.longest.get(kind, 0.0):10.1f} s"
        )
    loads, mismatched, failed = counts
    longest, problems = max(tally.longest.values()), sum(tally.failed.values())
    print(
        f"chaos: {rounds} rounds, seed {seed}: {problems} failed, {tally.lost} lost, {mismatched} "
        f"mismatched and {failed} failed of {loads} loads, longest wait {longest:.1f} s of "
        f"{LIMIT:g} s"
    )
    return 1 if problems or tally.lost or mismatched or failed or longest > LIMIT else 0


if __name__ == "__main__":
    sys.exit(
        main(int(os.environ.get("CHAOS_ROUNDS", "200")), int(os.environ.get("CHAOS_SEED", "1")))
    )
