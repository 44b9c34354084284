"""Proposes how a table of a database is read that nobody has described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import sqlalchemy as sa

from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError, suggest
from framework.interfaces.proposal import Guess, Proposal
from framework.options import validate
from framework_sql.options import SqlOptions
from framework_sql.source import SqlSource

_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://")
#: Of files and services, which are other sources' business.
_NO_DATABASES = ("http", "https", "ftp", "s3", "gs", "gcs", "az", "abfs", "abfss", "file", "hdfs")
#: Another name of the column of times while it is looked at.
_AS_WRITTEN = "framework_time"
#: Texts that are times, as SQLite keeps them.
_TIME_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


class SqlProposal(Proposal):
    """One table or view of one database."""

    def __init__(self, table: str, url: str, guesses: Mapping[str, Guess], columns: list[str]):
        super().__init__("sql", re.sub(r"\W+", "_", table.rpartition(".")[2]).lower(), guesses)
        self.url, self._names, self._columns = url, table.split("."), columns

    def rows(self) -> pd.DataFrame:
        # by the name of times the source gives UTC, and whether they have an offset does not show
        as_written = {TIME: _AS_WRITTEN} if TIME in self._columns else {}
        rows = self._source(self._query(as_written)).read(self.table)
        return rows.rename(columns={_AS_WRITTEN: TIME}).apply(_typed)

    def options(self, rename: Mapping[str, str], time_zone: str | None) -> dict[str, Any]:
        if time_zone not in (None, "UTC"):
            raise ConfigError(
                f"init.time_zone: {time_zone} is the clock of these times, and source=sql takes "
                "times without a zone as UTC; make a view of the database that gives UTC, and name "
                "it by init.table."
            )
        return {"url": self.url, "tables": {self.table: {"query": self._query(rename)}}}

    def _query(self, rename: Mapping[str, str]) -> str:
        preparer = _dialect(self.url).identifier_preparer

        def quote(name: str) -> str:
            """Quote a name; SQLAlchemy would take what follows a colon for a parameter."""
            return preparer.quote_identifier(name).replace(":", "\\:")

        columns = [
            f"{quote(name)} AS {quote(rename[name])}" if name in rename else quote(name)
            for name in self._columns
        ]
        time = next((old for old, new in rename.items() if new == TIME), None)
        order = f" ORDER BY {quote(time)}" if time is not None else ""
        place = ".".join(map(quote, self._names))
        return f"SELECT {', '.join(columns)} FROM {place}{order}"  # noqa: S608  quoted

    def _source(self, query: str) -> SqlSource:
        node = {"url": self.url, "tables": {self.table: {"query": query}}}
        return SqlSource(validate(SqlOptions, node, "source"))


def propose(place: str, table: str | None, reading: Mapping[str, Any]) -> SqlProposal | None:
    """Propose how a table is read, as the hook ``propose_source`` says."""
    scheme = _URL.match(place)
    if scheme is None or re.split(r"[+:]", place)[0] in _NO_DATABASES:
        return None
    if reading:
        raise ConfigError(
            f"init.reading.{next(iter(reading))}: a database has types; write the query of "
            "source.tables instead."
        )
    source = SqlSource(validate(SqlOptions, {"url": place, "tables": {}}, "source"))
    try:
        with source.failing(""):
            inspector = sa.inspect(source.engine)
            schema, _, name = (table or "").rpartition(".")
            names = [
                *inspector.get_table_names(schema or None),
                *inspector.get_view_names(schema or None),
            ]
            choice, guess = _choose(table, name, names)
            columns = [
                str(column["name"])
                for column in inspector.get_columns(choice.rpartition(".")[2], schema or None)
            ]
    finally:
        source.close()
    return SqlProposal(choice, place, {} if guess is None else {"table": guess}, columns)


def _choose(table: str | None, name: str, names: list[str]) -> tuple[str, Guess | None]:
    """Take the table that is named, or the only one that there is."""
    text = ", ".join(sorted(names)) or "none"
    if table is not None:
        if name not in names:
            raise ConfigError(
                f"init.table: the database has no table or view '{table}';{suggest(name, names)} "
                f"There are: {text}."
            )
        return table, None
    if len(names) != 1:
        raise ConfigError(
            f"init.table: missing; say which table or view is read, such as init.table=sales. "
            f"There are: {text}."
        )
    return names[0], Guess(names[0], "it is the only table of the database")


def _dialect(url: str) -> sa.Dialect:
    return sa.make_url(url).get_dialect()()


def _typed(values: pd.Series[Any]) -> pd.Series[Any]:
    """Give a column of objects the type that all of its values have."""
    present = values.dropna()
    if present.empty or values.dtype != object:
        return values
    first = present.iloc[0]
    if isinstance(first, bool | int | float | Decimal):
        try:
            return pd.to_numeric(values.astype(object).where(values.notna(), None))
        except (TypeError, ValueError):
            return values
    if isinstance(first, date) or (
        isinstance(first, str)
        and present.map(lambda text: bool(_TIME_TEXT.fullmatch(str(text)))).all()
    ):
        try:
            times = utc_times(values, "init.data")
        except DataError:
            return values
        return pd.Series(times.tz_localize(None), index=values.index)
    return values
