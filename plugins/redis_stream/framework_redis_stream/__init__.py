"""``source=redis_stream``: entries of Redis Streams, read through a consumer group."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from framework.ingestion.stream_tables import StreamOptions, StreamTable
from framework.interfaces.plugin import Component, hookimpl
from framework.interfaces.source import Connection
from framework.options import Duration


class Stream(StreamTable):
    """``key``: the stream's, null for the name of the table."""

    key: str | None = None


class RedisStreamOptions(StreamOptions, Connection):
    """One stream for each table; those that ``streams`` does not name have the key and the fields
    of the view.

    ``url``: such as ``redis://host:6379/0``. ``group`` is made when it is missing. ``consumer``:
    this one's name in it; the same after a restart, so that it goes on with what it had not stored.
    ``claim_idle``: entries that another consumer has held for so long are taken over. Parked
    entries are in the stream ``{key}:dead``.
    """

    streams: dict[str, Stream] = Field(default_factory=dict)
    consumer: str = "ingest"
    claim_idle: Duration = timedelta(minutes=1)


@hookimpl
def components() -> list[Component]:
    summary = "Redis Streams through a consumer group, at least once"
    return [
        Component(
            "source",
            "redis_stream",
            "framework_redis_stream.source:RedisStreamSource",
            RedisStreamOptions,
            summary,
        )
    ]
