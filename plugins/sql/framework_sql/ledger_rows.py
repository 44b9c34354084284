"""The rows of a ledger in PostgreSQL: Arrow tables are copied in and out as CSV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg import sql

from framework_sql.ledger_connections import quoted

#: Bytes of text that are parsed at a time.
_BLOCK = 8 << 20
_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
#: Of each type of PostgreSQL what it is in Arrow.
_ARROW = {
    "timestamp with time zone": pa.int64(),  # microseconds, as text would be slow to read
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "bigint": pa.int64(),
    "text": pa.string(),
}


def type_of(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "bigint" if pa.types.is_integer(kind) else "text"


def columns_of(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = ANY (current_schemas(false))",
        [table],
    )
    return {name: kind for name, kind in rows.fetchall() if kind in _ARROW}


def copy_in(connection: psycopg.Connection[Any], place: str, table: pa.Table) -> None:
    text = io.BytesIO()
    pacsv.write_csv(table, text, pacsv.WriteOptions(include_header=False))
    names = sql.SQL(", ").join(map(quoted, table.column_names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(quoted(place), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.getbuffer())


def pieces(
    connection: psycopg.Connection[Any],
    table: str,
    types: dict[str, str],
    since: datetime | None,
) -> Iterator[pa.Table]:
    times = [name for name, kind in types.items() if kind == "timestamp with time zone"]
    column_list = sql.SQL(", ").join(
        sql.SQL(_MICROSECONDS).format(quoted(name)) if name in times else quoted(name)
        for name in types
    )
    where = (
        sql.SQL("")
        if since is None
        else sql.SQL(" WHERE at >= {}").format(sql.Literal(since.astimezone(UTC).isoformat()))
    )
    statement = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT csv)").format(
        column_list, quoted(table), where
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        stream = io.BufferedReader(_Text(iter(copy)), _BLOCK)
        if not stream.peek(1):
            return
        reader = pacsv.open_csv(
            stream,
            pacsv.ReadOptions(column_names=list(types), block_size=_BLOCK),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types={name: _ARROW[kind] for name, kind in types.items()},
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            piece = pa.Table.from_batches([batch])
            for name in times:
                column = piece[name].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
                piece = piece.set_column(piece.column_names.index(name), name, column)
            yield piece


class _Text(io.RawIOBase):
    """A file of what PostgreSQL copies out."""

    def __init__(self, parts: Iterator[Any]) -> None:
        self._parts, self._left = parts, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = memoryview(part)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
