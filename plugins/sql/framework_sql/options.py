"""The options of ``source=sql`` and of ``ledger=postgresql``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, PositiveInt, field_validator, model_validator

from framework.interfaces.ledger import LedgerOptions
from framework.interfaces.source import Connection
from framework.options import Options, SecretUrl, parse_duration


class SqlTable(Options):
    """``query``: what is read for one table; it names the columns as the view does, with
    ``event_timestamp``.

    ``watermark``: a column of the query that grows with every new or changed row, such as
    ``updated_at`` or a serial number: an ingestion then reads the rows from the newest one that is
    stored, that one included. Null: everything each time. ``overlap``: begin so much earlier, for
    rows that become visible after newer ones (a long transaction, a replica): a duration for times,
    a number for numbers.
    """

    query: str
    watermark: str | None = None
    overlap: int | timedelta | None = None

    @field_validator("overlap", mode="before")
    @classmethod
    def _of_the_watermarks_kind(cls, value: Any) -> Any:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            if value is not None and value < 0:
                raise ValueError("an overlap is not negative")
            return value
        return parse_duration(value)

    @model_validator(mode="after")
    def _overlap_of_a_watermark(self) -> SqlTable:
        if self.overlap is not None and self.watermark is None:
            raise ValueError("overlap needs a watermark")
        return self


class SqlOptions(Connection):
    """``url``: of SQLAlchemy, such as ``sqlite:///sales.db`` or
    ``postgresql+psycopg://reader@host/sales``.

    ``tables``: by the name that the views have. ``chunk``: rows fetched and stored at a time.
    """

    tables: dict[str, SqlTable]
    chunk: PositiveInt = 100_000


class PostgresLedgerOptions(LedgerOptions):
    """``url``: of libpq, such as ``postgresql://writer@host/forecasts``.

    ``table``: the beginning of the names of its tables; the name of the pairs follows. While the
    database cannot be reached, forecasts wait, ``rows`` of them at most.
    """

    url: SecretUrl
    table: str = Field(default="forecast_ledger", pattern=r"^[a-z_][a-z0-9_]*$")
