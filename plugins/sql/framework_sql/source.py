"""Queries as the tables of feature views, fetched in chunks, from the watermark on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError, NotThereError, one_line, suggest
from framework.features.views import View
from framework.interfaces.source import Batch, Roles, Source
from framework_sql.options import SqlTable
from framework_sql.watermark import earlier, from_text, to_text


class SqlSource(Source):
    """Connects when the first table is read. Passwords come from the environment and are in no
    error message.
    """

    @property
    def poll(self) -> float | None:
        follow: float | None = self.options.follow
        return follow

    def check(self, tables: Mapping[str, Roles]) -> None:
        """See :meth:`Source.check`. Columns are known when the database has the query."""
        for table in tables:
            try:
                self._table(table)
            except DataError as error:
                raise ConfigError(str(error)) from None
        with self.failing(""):
            _ = self.engine

    def read(self, table: str) -> pd.DataFrame:
        """Every row of the table's query, the watermark aside. A time without a zone, and a date,
        are taken as UTC.
        """
        query = _bare(self._table(table).query)
        with self.failing(table):
            parts = [rows for rows, _ in self._chunks(table, sa.text(query), {}, None)]
        return pd.concat(parts, ignore_index=True)

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """In the order of the watermark, so that what is stored is always everything up to some
        value of it.
        """
        spec = self._table(table)
        if spec.watermark is None:
            yield from self._pieces(table, sa.text(_bare(spec.query)), {}, None)
            return
        with self.failing(table):
            mark = self.engine.dialect.identifier_preparer.quote(spec.watermark)
            since = None if position is None else earlier(from_text(position), spec.overlap)
        # a null watermark would never be found again: such a row is read, and refused
        condition = "" if since is None else f" WHERE {mark} >= :framework_since OR {mark} IS NULL"
        query = f"SELECT * FROM ({_bare(spec.query)}) AS framework_rows{condition} ORDER BY {mark}"  # noqa: S608  the project's own query
        yield from self._pieces(
            table, sa.text(query), {} if since is None else {"framework_since": since}, position
        )

    def _pieces(
        self, table: str, query: sa.TextClause, values: dict[str, Any], position: str | None
    ) -> Iterator[Batch]:
        """One batch for each chunk; a single one is the whole table when no watermark has cut
        it.
        """
        mark = self._table(table).watermark
        with self.failing(table):
            chunks = self._chunks(table, query, values, mark)
            rows, newest = next(chunks)
            following = next(chunks, None)
            whole = mark is None and following is None
            if TIME not in rows.columns:
                have = list(rows.columns)
                raise DataError(
                    f"source=sql: table '{table}': no column '{TIME}'; the query has "
                    f"{have}. Name one so: AS {TIME}."
                )
            while True:
                position = _later(newest, position)
                yield Batch(rows, whole=whole, position=position)
                if following is None:
                    return
                rows, newest = following
                following = next(chunks, None)

    def fingerprint(self) -> dict[str, str]:
        """``{"table (query)": sha256}``, and ``"table (rows)"`` over the rows that were read, in
        their order.
        """
        prints = {
            f"{name} (query)": hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
            for name, spec in self.options.tables.items()
        }
        return {
            **prints,
            **{f"{name} (rows)": digest.hexdigest() for name, digest in self._digests.items()},
        }

    def fingerprint_of(self, tables: Sequence[str]) -> dict[str, str]:
        """The queries alone: whether a database has other rows cannot be told without reading
        them.
        """
        queries = {name: spec.query for name, spec in self.options.tables.items() if name in tables}
        return {
            f"{name} (query)": hashlib.sha256(query.encode()).hexdigest()
            for name, query in queries.items()
        }

    def close(self) -> None:
        if "engine" in vars(self):
            self.engine.dispose()

    def _table(self, table: str) -> SqlTable:
        tables: dict[str, SqlTable] = self.options.tables
        if table not in tables:
            raise DataError(
                f"source=sql: table '{table}' is not declared;{suggest(table, tables)} "
                f"Declared: {', '.join(tables) or 'none'}."
            )
        return tables[table]

    def _chunks(
        self, table: str, query: sa.TextClause, values: dict[str, Any], mark: str | None
    ) -> Iterator[tuple[pd.DataFrame, Any]]:
        """At least one chunk and its newest watermark, from a cursor that stays on the server: no
        more than two are in memory.
        """
        digest = self._digests.setdefault(table, hashlib.sha256())
        chunk = self.options.chunk
        with self.engine.connect().execution_options(
            stream_results=True, max_row_buffer=chunk
        ) as connection:
            result = connection.execute(query, values)
            names, none = list(result.keys()), True
            for part in result.partitions(chunk):
                # as objects: a column of integers would become floats in the chunks that have a
                # null
                rows = _timed(pd.DataFrame(part, columns=names, dtype=object), table)
                digest.update(
                    pd.util.hash_pandas_object(rows.astype(str), index=False).to_numpy().tobytes()
                )
                none = False
                yield rows, None if mark is None else _last(part, names, mark, table)
            if none:
                yield _timed(pd.DataFrame(columns=names), table), None

    @cached_property
    def _digests(self) -> dict[str, Any]:
        return {}

    @cached_property
    def engine(self) -> sa.Engine:
        """Connects when it is asked. SQLite would make an empty file of a name that is wrong.

        Raises:
            NotThereError: SQLite's file is not there.
        """
        file = self._url.database or ""
        is_file = self._url.get_backend_name() == "sqlite" and not file.startswith((":", "file:"))
        if is_file and file and not Path(file).is_file():
            where = self._url.render_as_string()
            raise NotThereError(f"source=sql: {where}: there is no file {file}.")
        return sa.create_engine(self._url, pool_pre_ping=True)

    @cached_property
    def _url(self) -> URL:
        try:
            url = make_url(self.options.address())
        except SQLAlchemyError as error:
            raise ConfigError(
                "source=sql: the URL cannot be read; it is "
                "dialect+driver://user@host:port/database."
            ) from error
        if url.drivername == "postgresql" and find_spec("psycopg2") is None:
            url = url.set(drivername="postgresql+psycopg")  # the driver that this plugin brings
        password = self.options.password()
        return url if password is None else url.set(password=password)

    @contextmanager
    def failing(self, table: str) -> Iterator[None]:
        """Turn an error of SQLAlchemy or a driver into one line without the password."""
        try:
            yield
        except (SQLAlchemyError, ModuleNotFoundError) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            which = f"table '{table}': " if table else ""
            raise DataError(
                f"source=sql: {which}{self._url.render_as_string()}: {one_line(cause)}"
            ) from None


def _last(part: Sequence[Sequence[Any]], names: list[str], mark: str, table: str) -> Any:
    """The watermark of the last row, as the driver gave it. Raises :class:`DataError` for rows
    without one.
    """
    if mark not in names:
        raise DataError(
            f"source=sql: table '{table}': no column '{mark}' for the watermark; the query "
            f"has {names}."
        )
    values = [row[names.index(mark)] for row in part]
    if None in values:
        raise DataError(
            f"source=sql: table '{table}': column '{mark}', the watermark, is null in "
            f"{values.count(None)} rows; they would be lost."
        )
    return values[-1]


def _later(newest: Any, position: str | None) -> str | None:
    """With an overlap all rows of a chunk may be older than the position."""
    if newest is None:
        return position
    return to_text(newest if position is None else max(newest, from_text(position)))


def _bare(query: str) -> str:
    return query.strip().rstrip(";")


def _timed(rows: pd.DataFrame, table: str) -> pd.DataFrame:
    if TIME not in rows.columns:  # a table that a view joins needs none
        return rows
    return rows.assign(
        **{TIME: utc_times(rows[TIME], f"source=sql: table '{table}': column '{TIME}'")}
    )
