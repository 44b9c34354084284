"""Packed records in Redis, beside Feast's hashes: one MGET for all entities and views."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis, WatchError
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from framework.errors import DataError
from framework_feast.records.records import Kind, Merge, RecordStore

#: A writer that has lost so many races with others gives up.
_RACES = 1000


class RedisRecords(RecordStore):
    """A write is a transaction that another writer's makes start again; a read sees whole records
    only.
    """

    def __init__(
        self, project: str, online: Mapping[str, Any], timeout: float, connections: int
    ) -> None:
        super().__init__(project, online, timeout, connections)
        self._address = parse_connection(str(online.get("connection_string", "localhost:6379")))
        self._client: AsyncRedis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        seconds = online.get("key_ttl_seconds")
        self._expires = None if seconds is None else int(seconds)

    @property
    def place(self) -> str:
        return f"the online store redis at {self._address['host']}:{self._address['port']}"

    def _keys(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes]:
        head = f"{self.project}:{kind}:".encode()
        return [head + key for key in keys]

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        return list(await self._reader().mget(self._keys(kind, keys))) if keys else []

    async def holds(self, definition: str) -> bool:
        """By a note that is written with the records and goes with them; by a search where an
        earlier version wrote none.
        """
        client = self._reader()
        if await client.exists(self._note(definition)):
            return True
        pattern = self._keys("newest", [_escaped(definition).encode() + b"*"])[0]
        async for _ in client.scan_iter(match=pattern, count=10_000):
            return True
        return False

    def _note(self, definition: str) -> str:
        return f"{self.project}:holds:{definition}"

    def _reader(self) -> AsyncRedis:
        """One client per event loop: connections belong to the loop that made them. A connection
        that broke is made again at once.

        Whoever reads limits its time: a limit of the client's own is armed again for each 64 KiB of
        an answer.
        """
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            address = {key: value for key, value in self._address.items() if key != "ssl"}
            pool = BlockingConnectionPool(
                connection_class=SSLConnection if self._address.get("ssl") else Connection,
                max_connections=self.connections,
                timeout=self.timeout,
                socket_connect_timeout=self.timeout,
                retry=AsyncRetry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
                **address,
            )
            self._client, self._loop = AsyncRedis(connection_pool=pool), loop
        return self._client

    @contextmanager
    def _writer(self) -> Iterator[Redis]:
        with Redis(**self._address) as client:
            yield client

    def update(self, keys: Sequence[bytes], merge: Merge) -> None:
        newest, window = self._keys("newest", keys), self._keys("window", keys)
        with self._writer() as client, client.pipeline() as pipe:
            for _ in range(_RACES):
                pipe.watch(*newest, *window)
                values: list[Any] = pipe.mget([*newest, *window])
                pairs = merge(list(zip(values[: len(keys)], values[len(keys) :], strict=True)))
                pipe.multi()
                for names, records in zip((newest, window), zip(*pairs, strict=True), strict=True):
                    for name, record in zip(names, records, strict=True):
                        if record is not None:
                            pipe.set(name, record, ex=self._expires)
                for definition in sorted({key.partition(b"/")[0].decode() for key in keys}):
                    pipe.set(self._note(definition), 1, ex=self._expires)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return
        raise DataError(
            f"retrieval=feast: {self.place}: other writers came first {_RACES} times; "
            "run=materialize again."
        )

    def mark(self, name: str) -> str | None:
        with self._writer() as client:
            text: Any = client.hget(f"{self.project}:marks", name)
        return None if text is None else text.decode()

    def set_mark(self, name: str, text: str) -> None:
        with self._writer() as client:
            client.hset(f"{self.project}:marks", name, text)

    async def close(self) -> None:
        client, loop, self._client = self._client, self._loop, None
        if client is not None and loop is asyncio.get_running_loop():
            await client.aclose()
            await client.connection_pool.disconnect()


def _escaped(text: str) -> str:
    """For a pattern that means only itself."""
    return "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in text)


def parse_connection(text: str) -> dict[str, Any]:
    """Feast's ``host:port,option=value,…`` as arguments of a client; a value is JSON where it can
    be.
    """
    address, *options = text.split(",")
    host, _, port = address.partition(":")
    arguments: dict[str, Any] = {"host": host, "port": int(port or 6379)}
    for option in options:
        name, _, value = option.partition("=")
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            arguments[name] = value
    return arguments
