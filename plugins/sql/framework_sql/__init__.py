"""``source=sql``: queries of a database that SQLAlchemy has a dialect for. ``ledger=postgresql``:
what was forecast, in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from framework.interfaces.plugin import Component, hookimpl
from framework_sql.options import PostgresLedgerOptions, SqlOptions

if TYPE_CHECKING:
    from framework.interfaces.proposal import Proposal


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "ledger",
            "postgresql",
            "framework_sql.ledger:PostgresLedger",
            PostgresLedgerOptions,
            "a table of PostgreSQL for each name, of servers on any number of machines",
        ),
        Component(
            "source",
            "sql",
            "framework_sql.source:SqlSource",
            SqlOptions,
            "queries of a database, incremental by a watermark",
        ),
    ]


@hookimpl
def propose_source(place: str, table: str | None, reading: Mapping[str, Any]) -> Proposal | None:
    from framework_sql.proposal import propose

    return propose(place, table, reading)
