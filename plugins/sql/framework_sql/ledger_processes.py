"""The table of the processes that wrote a ledger, and the files in which each counts.

A process counts what it is offered in a file of its machine. The files of processes that have ended
are told to the database, by whoever reads them there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from framework.interfaces.ledger import LedgerCounts
from framework.monitoring.ledger_counts import read_counts
from framework_sql.ledger_connections import lock, quoted


def processes_of(table: str) -> str:
    return f"{table}_processes"


def create_processes(connection: psycopg.Connection[Any], table: str) -> None:
    with connection.transaction():
        lock(connection, table)
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (process text PRIMARY KEY, offered bigint NOT NULL, "
                "accounted bigint NOT NULL, lost bigint NOT NULL, seen timestamptz NOT NULL, "
                "ended boolean NOT NULL)"
            ).format(quoted(processes_of(table)))
        )


def account(
    connection: psycopg.Connection[Any], table: str, counts: tuple[str, int, int, int]
) -> None:
    connection.execute(
        sql.SQL(
            "INSERT INTO {} AS p VALUES (%s, %s, %s, %s, now(), false) ON CONFLICT (process) "
            "DO UPDATE SET offered = greatest(p.offered, excluded.offered), "
            "accounted = greatest(p.accounted, excluded.accounted), "
            "lost = greatest(p.lost, excluded.lost), seen = now()"
        ).format(quoted(processes_of(table))),
        counts,
    )


def settle(
    connection: psycopg.Connection[Any], table: str, folder: Path
) -> dict[str, tuple[int, bool]]:
    """Tell the database of this machine's processes that have ended; their files go.

    Returns:
        Of those that are alive how many forecasts were offered, and True.
    """
    alive = {}
    for one in read_counts(folder):
        if one.alive:
            alive[one.process] = one.offered, True
            continue
        # what is accounted for is in the database; this file may be older
        account(connection, table, (one.process, one.offered, 0, one.lost))
        connection.execute(
            sql.SQL("UPDATE {} SET ended = true WHERE process = %s").format(
                quoted(processes_of(table))
            ),
            [one.process],
        )
        one.path.unlink(missing_ok=True)
    return alive


def counted(folder: Path) -> LedgerCounts:
    """Count by the files alone, where the database has no table yet."""
    missing = waiting = 0
    for one in read_counts(folder):
        open_ = max(one.offered - one.accounted, 0)
        missing += one.lost + (0 if one.alive else open_)
        waiting += open_ if one.alive else 0
    return LedgerCounts(missing, waiting)
