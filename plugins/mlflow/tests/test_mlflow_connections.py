"""Connections to a SQLite ledger are kept, but not beyond the file and the process that they were
opened for.
"""

from __future__ import annotations

import os
from pathlib import Path

from framework_mlflow.home import Home
from framework_mlflow.ledger.history import now
from framework_mlflow.ledger.ledger import Ledger, Registered

from framework.interfaces.registry import PairVersion

SOURCES = {"preprocessor": "file:///p", "model": "file:///m"}


def opened(folder: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{folder}/ledger.db", Home())
    with ledger.locked("shops") as writer:
        writer.add_pair(PairVersion("shops", 1, "a" * 32, "b" * 64, "run", now()), SOURCES)
    return ledger


def newest(ledger: Ledger) -> PairVersion | None:
    return ledger.newest("shops")


def test_a_ledger_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    assert newest(ledger) is not None
    (tmp_path / "other").mkdir()
    other = opened(tmp_path / "other")
    with other.locked("shops") as writer:
        writer.remove_pair("shops", 1)
        writer.add_pair(PairVersion("shops", 2, "c" * 32, "d" * 64, "run", now()), SOURCES)
    (tmp_path / "other" / "ledger.db").replace(tmp_path / "ledger.db")
    found = newest(ledger)
    assert found is not None
    assert (found.version, found.pair_id) == (2, "c" * 32)


def test_a_forked_process_opens_a_connection_of_its_own(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    assert newest(ledger) is not None
    kept = {id(r.dbapi_connection) for r in _records(ledger)}
    child = os.fork()
    if child == 0:
        newest(ledger)
        os._exit(0 if kept.isdisjoint(id(r.dbapi_connection) for r in _records(ledger)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert {id(r.dbapi_connection) for r in _records(ledger)} == kept


def _records(ledger: Ledger) -> list[object]:
    return list(ledger._engine.pool._pool.queue)


def test_the_alias_and_the_number_mean_the_same_pair_with_all_its_aliases(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with ledger.locked("shops") as writer:
        for alias in ("staging", "production"):
            writer.set_alias("shops", alias, 1)
    found = [ledger.newest("shops"), ledger.numbered("shops", 1), ledger.under("shops", "staging")]
    assert (
        ledger.under("shops", "nobody")
        is ledger.numbered("shops", 2)
        is ledger.newest("cafes")
        is None
    )
    assert found[0] is not None
    assert found[0].aliases == ("production", "staging")
    assert found[0] == found[1] == found[2]
    assert ledger.registered("shops", 1) == Registered(found[0], SOURCES, SOURCES)
    assert ledger.registered("shops", 2) is None
