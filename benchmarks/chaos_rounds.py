"""The kinds of rounds of ``benchmarks/chaos.py``. Each raises PromiseError, or says what it did."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from chaos_clients import PROBE, attack
from chaos_world import ANSWERS, EXPERIMENT, KEPT, PromiseError, World, registry_of

from framework.files import PATIENCE, exclusive
from framework.testing.servers import command
from framework.testing.servers.fake_server import server_process


def killed(world: World) -> str:
    name = world.chance.choice(sorted(world.commands))
    arguments = world.arguments(name)
    expected = world.seconds.get(name, 2.0)
    moment = world.chance.uniform(0.0, 1.1) * expected
    shutil.rmtree(world.work / "restored", ignore_errors=True)
    (world.work / "backup.tar.gz").unlink(missing_ok=True)
    if name == "restore":
        world.back_up()
    process = command.start(*arguments, cwd=world.project)
    ended = process.wait(moment)
    process.kill()
    process.finish(PATIENCE)
    if name == "prune":
        world.known = newest(world)
    world.count_lost(world.state, world.known)
    begun = time.monotonic()
    if name == "serve":
        world.run(world.commands["predict"], (0,))
    else:
        (world.work / "backup.tar.gz").unlink(missing_ok=True)
        world.run(arguments, ANSWERS.get(name, (0,)))
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
    world.tally.waited(world.kind, seconds, "others")
    shutil.rmtree(folder, ignore_errors=True)
    if problems:
        raise PromiseError("; ".join(problems[:3]))
    return ", ".join(attacks)


#: Each kind of round: how to play it, its share, and the seconds that nobody may have to wait for
#: longer: a command for a lock, a client for an answer.
ROUNDS: dict[str, tuple[Callable[[World], str], int, float]] = {
    "killed": (killed, 5, PATIENCE),
    "locked": (locked, 1, PATIENCE),
    "deleted": (deleted, 1, PATIENCE),
    "older": (older, 1, PATIENCE),
    "foreign": (foreign, 1, PATIENCE),
    "clients": (clients, 1, PROBE),
}
