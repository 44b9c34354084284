"""The project of ``benchmarks/chaos.py``, its commands, and what must be true of it."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.errors import FrameworkError
from framework.files import PATIENCE
from framework.testing.servers import command

ROOT = Path(__file__).parents[1]
EXPERIMENT = ("+experiment=shops", "model=seasonal_naive", "retrieval=file")
FEAST = ("+experiment=shops", "model=seasonal_naive", "retrieval=feast", "feature_store=local")
#: Pairs that ``run=prune`` keeps.
KEPT = 4


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
}


@dataclass
class Tally:
    """What was counted, by kind."""

    rounds: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    longest: dict[str, tuple[float, str]] = field(default_factory=dict)
    lost: int = 0

    def waited(self, kind: str, seconds: float, label: str) -> None:
        """Note how long a command, or a client, had to wait."""
        self.longest[kind] = max(self.longest.get(kind, (0.0, "")), (seconds, label))


class World:
    """A project with pairs, and what is known of it. ``pairs``: how many are registered at first,
    at least two; the first of them is ``production``.
    """

    def __init__(self, work: Path, chance: random.Random, pairs: int = 3) -> None:
        self.work, self.chance, self.tally = work, chance, Tally()
        self.kind = "made"
        self.project = work / "project"
        shutil.copytree(
            ROOT / "examples" / "project", self.project, ignore=shutil.ignore_patterns("state")
        )
        shutil.copytree(ROOT / "conf" / "feature_store", self.project / "conf" / "feature_store")
        self.commands = commands(work)
        for name in (*("train",) * (pairs - 1), "promote"):
            self.must(name)
        self.earlier = work / "earlier.db"
        shutil.copy(self.state / "ledger.db", self.earlier)
        self.must("train")
        self.known = self.pairs(self.state)
        self.seconds: dict[str, float] = {}

    @property
    def state(self) -> Path:
        return self.project / "state"

    def arguments(self, name: str) -> tuple[str, ...]:
        version = str(self.chance.choice(sorted(self.pairs(self.state))))
        return tuple(part.replace("VERSION", version) for part in self.commands[name])

    def back_up(self) -> None:
        """Write what ``run=restore`` restores."""
        archive = self.work / "whole.tar.gz"
        if not archive.exists():
            self.run(("run=backup", f"backup.output={archive}"), (0,))

    def run(
        self, arguments: tuple[str, ...], codes: tuple[int, ...], project: Path | None = None
    ) -> dict[str, Any]:
        """Run a command to its end: an answer, in one line, within the limit."""
        begun = time.monotonic()
        try:
            done = command.run(*arguments, cwd=project or self.project, timeout=PATIENCE)
        except TimeoutError as error:
            raise PromiseError(f"{' '.join(arguments)}: not done after {PATIENCE:g} s") from error
        finally:
            label = next((part for part in arguments if part.startswith("run=")), "run=train")
            self.tally.waited(self.kind, time.monotonic() - begun, label)
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
