"""``source=sql``: queries of a database that SQLAlchemy has a dialect for."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options


class SqlTable(Options):
    """``query``: what is read for one table; it names the columns as the view does, with ``event_timestamp``.

    ``watermark``: a column of the query that grows with every new or changed row, such as ``updated_at`` or a serial number: an ingestion
    then reads the rows from the newest one that is stored, that one included. Null: everything each time. ``overlap``: begin so much
    earlier, for rows that become visible after newer ones (a long transaction, a replica): a duration for times, a number for numbers.
    """

    query: str
    watermark: str | None = None
    overlap: NonNegativeInt | timedelta | None = Field(default=None, union_mode="left_to_right")

    @model_validator(mode="after")
    def _overlap_of_a_watermark(self) -> SqlTable:
        if self.overlap is not None and self.watermark is None:
            raise ValueError("overlap needs a watermark")
        return self


class SqlOptions(Options):
    """``url``: of SQLAlchemy, such as ``sqlite:///sales.db`` or ``postgresql+psycopg://reader@host/sales``, without a password.

    ``url_env``: the environment variable that holds the whole URL, instead. ``password_env``: the one that holds the password alone.
    ``chunk``: rows fetched and stored at a time. ``follow``: look again every so many
    seconds until told to stop; null: read what there is and end.
    """

    url: str | None = None
    url_env: str | None = None
    password_env: str | None = None
    tables: dict[str, SqlTable]
    chunk: PositiveInt = 100_000
    follow: PositiveFloat | None = None

    @model_validator(mode="after")
    def _where_from(self) -> SqlOptions:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give url or url_env, the environment variable that holds it")
        return self

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if parts.password is not None or any("password" in key.lower() for key, _ in parse_qsl(parts.query)):
            raise ValueError("a password would be recorded with every run; keep it in the environment: url_env or password_env")
        return value


@hookimpl
def components() -> list[Component]:
    return [Component("source", "sql", "framework_sql.source:SqlSource", SqlOptions, "queries of a database, incremental by a watermark")]
