"""Connections to PostgreSQL, and how its errors and names are written."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from framework.errors import one_line
from framework.secrets import masked
from framework_sql.options import PostgresLedgerOptions

#: Seconds that a connection, and any one statement of a writer, may take.
PATIENCE = 10


def connect(options: PostgresLedgerOptions) -> psycopg.Connection[Any]:
    return psycopg.connect(
        options.url,
        autocommit=True,
        connect_timeout=PATIENCE,
        application_name="framework ledger",
        keepalives_idle=PATIENCE,
        tcp_user_timeout=1000 * PATIENCE,
    )


def lock(connection: psycopg.Connection[Any], table: str) -> None:
    """Keep everybody else from changing the form of the table until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])


def quoted(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def said(error: Exception) -> str:
    return masked(f"PostgreSQL: {one_line(error)}")
