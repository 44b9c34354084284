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
A command may wait two minutes for a lock, a client five seconds for an answer.
Prints a line a round, a table and a summary. Exits with 1 when anything was counted.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chaos_rounds import ROUNDS
from chaos_world import PromiseError, Tally, World, registry_of

from framework.errors import FrameworkError
from framework.pairs.manifest import MANIFEST
from framework.testing.servers import command

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


def read(state: str, stop: Any, counts: Any, pause: float) -> None:
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
        time.sleep(pause)


def main(rounds: int, seed: int, pairs: int = 3, pause: float = 0.02) -> int:
    """Play rounds, and report. Returns the exit code.

    Args:
        rounds: How many.
        seed: What the kinds and moments are drawn by.
        pairs: How many pairs the project has at first.
        pause: Seconds between two loads of the reader.
    """
    context = multiprocessing.get_context("forkserver")
    shares = [share for _, share, _ in ROUNDS.values()]
    with tempfile.TemporaryDirectory() as work:
        world = World(Path(work), random.Random(seed), pairs)
        stop, counts = context.Event(), context.Array("l", [0, 0, 0])
        reader = context.Process(target=read, args=(str(world.state), stop, counts, pause))
        reader.start()
        for number in range(rounds):
            (world.kind,) = world.chance.choices([*ROUNDS], shares)
            play, _, _ = ROUNDS[world.kind]
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
    print(f"\n{'kind':8} {'rounds':>6} {'failed':>6} {'longest wait':>12}  {'limit':>5}")
    beyond = 0
    for kind, (_, _, limit) in ROUNDS.items():
        seconds, label = tally.longest.get(kind, (0.0, ""))
        beyond += seconds > limit
        print(
            f"{kind:8} {tally.rounds.get(kind, 0):6} {tally.failed.get(kind, 0):6} "
            f"{seconds:10.1f} s  {limit:3g} s  {label}"
        )
    loads, mismatched, failed = counts
    problems = sum(tally.failed.values())
    print(
        f"chaos: {rounds} rounds, seed {seed}: {problems} failed, {tally.lost} lost, {mismatched} "
        f"mismatched and {failed} failed of {loads} loads, {beyond} kinds with a wait beyond the "
        "limit"
    )
    return 1 if problems or tally.lost or mismatched or failed or beyond else 0


if __name__ == "__main__":
    command.preload(*IMPORTS)
    sys.exit(
        main(int(os.environ.get("CHAOS_ROUNDS", "200")), int(os.environ.get("CHAOS_SEED", "1")))
    )
