"""Parts of a table that is too large for the memory: whole series, in the order of their keys."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from framework_files.csv_files import literal, quoted


@contextmanager
def staged(
    connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, table: str
) -> Iterator[duckdb.DuckDBPyRelation]:
    """Write a relation to a temporary database, so that its query runs once.

    Args:
        connection: The connection of the relation.
        relation: The rows.
        table: The name of their table; several can be in parts at the same time.

    Yields:
        The same rows, in their order.
    """
    with tempfile.TemporaryDirectory(prefix="framework-files-") as folder:
        file, database = literal(str(Path(folder) / "rows.duckdb")), quoted(f"{table} (parts)")
        connection.execute(f"ATTACH {file} AS {database}")
        try:
            relation.create_view("(result as a view)", replace=True)
            view, rows = quoted("(result as a view)"), f"{database}.main.{quoted('rows')}"
            connection.execute(f"CREATE TABLE {rows} AS SELECT * FROM {view}")  # noqa: S608  quoted
            yield connection.table(rows)
        finally:
            connection.execute(f"DETACH {database}")


def spans_of(relation: duckdb.DuckDBPyRelation, keys: Sequence[str], rows: int) -> list[str | None]:
    """Divide the series of a relation.

    Args:
        relation: The rows.
        keys: The columns of text that tell series apart.
        rows: Rows of a part, unless a single series has more.

    Returns:
        The conditions of the parts, in the order of their keys; ``[None]``, all rows at once, where
        a key is null, which is refused later.
    """
    columns = ", ".join(map(quoted, keys))
    series = relation.aggregate(f"{columns}, count(*)", columns).order(columns).fetchall()
    if any(key is None for *names, _ in series for key in names):
        return [None]
    firsts, size = [series[0][:-1]], 0
    for *names, count in series:
        if size and size + count > rows:
            firsts.append(tuple(names))
            size = 0
        size += count
    bounds = [None, *firsts[1:], None]
    return [_between(keys, first, end) for first, end in itertools.pairwise(bounds)]


def _between(
    keys: Sequence[str], first: tuple[str, ...] | None, end: tuple[str, ...] | None
) -> str | None:
    """From ``first`` on, up to but without ``end``. The conditions of the first key alone let
    blocks of rows be left out.
    """
    parts = []
    if first is not None:
        parts += [f"{quoted(keys[0])} >= {literal(first[0])}", f"NOT ({_before(keys, first)})"]
    if end is not None:
        parts += [f"{quoted(keys[0])} <= {literal(end[0])}", f"({_before(keys, end)})"]
    return " AND ".join(parts) or None


def _before(keys: Sequence[str], bound: tuple[str, ...]) -> str:
    """Key by key: DuckDB compares rows of texts, but not between two of them."""
    key, text = quoted(keys[0]), literal(bound[0])
    if len(keys) == 1:
        return f"{key} < {text}"
    return f"{key} < {text} OR ({key} = {text} AND ({_before(keys[1:], bound[1:])}))"
