"""``source=redis_stream``: entries of Redis Streams, read through a consumer group."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.interfaces.source import Connection
from framework.options import Duration, Options


class Stream(Options):
    """``key``: the stream's, null for the name of the table. ``rename``: ``{field: column}``, where
    a field is not named as in the view.
    """

    key: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)


class RedisStreamOptions(Connection):
    """One stream for each table; those that ``streams`` does not name have the key and the fields
    of the view.

    ``url``: such as ``redis://host:6379/0``. ``group``: the consumer group, made when it is
    missing. ``consumer``: this one's name in it; the same after a restart, so that it goes on with
    what it had not stored. ``claim_idle``: entries that another consumer has held for so long are
    taken over. ``batch``: entries read and stored at a time. ``bad_entries``: ``park`` copies an
    entry that is no row to the stream ``{key}:dead`` with the reason and goes on; ``refuse`` stops
    there.
    """

    streams: dict[str, Stream] = Field(default_factory=dict)
    group: str = "framework"
    consumer: str = "ingest"
    claim_idle: Duration = timedelta(minutes=1)
    batch: PositiveInt = 10_000
    bad_entries: Literal["park", "refuse"] = "park"


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
