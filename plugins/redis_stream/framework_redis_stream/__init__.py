"""``source=redis_stream``: entries of Redis Streams, read through a consumer group."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options


class Stream(Options):
    """``key``: the stream's, null for the name of the table. ``rename``: ``{field: column}``, where a field is not named as in the view."""

    key: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)


class RedisStreamOptions(Options):
    """One stream for each table; those that ``streams`` does not name have the key and the fields of the view.

    ``url``: such as ``redis://host:6379/0``, without a password. ``url_env``: the environment variable that holds the whole URL, instead.
    ``password_env``: the one that holds the password alone. ``group``: the consumer group, made when it is missing. ``consumer``: this
    one's name in it; the same after a restart, so that it goes on with what it had not stored. ``claim_idle``: entries that another
    consumer has held for so long are taken over. ``batch``: entries read and stored at a time. ``bad_entries``: ``park`` copies an entry
    that is no row to the stream ``{key}:dead`` with the reason and goes on; ``refuse`` stops there. ``follow``: look again every so many
    seconds until told to stop; null: read what there is and end.
    """

    url: str | None = None
    url_env: str | None = None
    password_env: str | None = None
    streams: dict[str, Stream] = Field(default_factory=dict)
    group: str = "framework"
    consumer: str = "ingest"
    claim_idle: timedelta = timedelta(minutes=1)
    batch: PositiveInt = 10_000
    bad_entries: Literal["park", "refuse"] = "park"
    follow: PositiveFloat | None = None

    @model_validator(mode="after")
    def _where_from(self) -> RedisStreamOptions:
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
    summary = "Redis Streams through a consumer group, at least once"
    return [Component("source", "redis_stream", "framework_redis_stream.source:RedisStreamSource", RedisStreamOptions, summary)]
