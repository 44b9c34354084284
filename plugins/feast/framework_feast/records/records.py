"""The stores of packed records: one interface for online stores that are read without Feast."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Literal, TypeVar

from framework.errors import ConfigError, DataError, one_line

#: Records of the newest row, and of the window that ends with it.
Kind = Literal["newest", "window"]
#: The newest row and the window of one key, None for what there is not.
Pair = tuple[bytes | None, bytes | None]
Merge = Callable[[list[Pair]], list[Pair]]

T = TypeVar("T")

#: ``online_store.type`` of Feast -> the class; a client library is imported with its module.
_STORES = {
    "sqlite": "framework_feast.records.sqlite:SqliteRecords",
    "redis": "framework_feast.records.redis:RedisRecords",
    "postgres": "framework_feast.records.postgres:PostgresRecords",
}


class RecordStore(ABC):
    """Records by key beside what Feast keeps, in the same server or folder. Safe to share between
    threads and event loops.
    """

    def __init__(
        self, project: str, online: Mapping[str, Any], timeout: float, connections: int
    ) -> None:
        self.project, self.online, self.timeout, self.connections = (
            project,
            online,
            timeout,
            connections,
        )

    @property
    @abstractmethod
    def place(self) -> str:
        """For messages: the kind of store and its address, without a password."""

    @abstractmethod
    async def read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of ``keys``, in order, None for none; one round trip. Raises the client's own
        error.
        """

    @abstractmethod
    async def holds(self, definition: str) -> bool:
        """Tell whether any record has a key that begins with ``definition``.

        Raises the client's own error.
        """

    def clear_remains(self) -> None:  # noqa: B027  records in a server go with what Feast keeps there, or not
        """Called before Feast sets up its store: remove records that are left of one that was
        removed.
        """

    @abstractmethod
    def update(self, keys: Sequence[bytes], merge: Merge) -> None:
        """Replace the records of ``keys``, distinct, by what ``merge`` makes of them, all or none,
        and no other writer in between.

        ``merge`` may be called again with what another writer has written meanwhile.
        """

    @abstractmethod
    def mark(self, name: str) -> str | None:
        """Return the text that ``set_mark`` wrote under ``name``."""

    @abstractmethod
    def set_mark(self, name: str, text: str) -> None:
        """Keep a note beside the records."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections; the next call makes new ones."""


def open_records(
    content: Mapping[str, Any], timeout: float, connections: int
) -> RecordStore | None:
    """For the content of a feature_store.yaml; None for an online store that has none."""
    if not has_records(content):
        return None
    online = online_store(content)
    module, _, name = _STORES[online["type"]].partition(":")
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        extra = online["type"]
        raise ConfigError(
            f"feature_store.online_store.type={extra}: {error}; pip install "
            f"'framework-feast[{extra}]'."
        ) from error
    store: RecordStore = kind(str(content["project"]), online, timeout, connections)
    return store


def has_records(content: Mapping[str, Any]) -> bool:
    """Tell whether the online store of a feature_store.yaml's content is read without Feast."""
    online = online_store(content)
    return online["type"] in _STORES and online.get("redis_type", "redis") == "redis"


def online_store(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``online_store`` of a feature_store.yaml, which may be a word; Feast's default is
    SQLite.
    """
    online = content.get("online_store") or "sqlite"
    return {"type": "sqlite", **online} if isinstance(online, Mapping) else {"type": online}


@asynccontextmanager
async def answering(place: str, seconds: float) -> AsyncIterator[None]:
    """Whatever a store's client raises, and a store that takes longer than ``seconds``, as one
    line.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (ConfigError, DataError):
        raise
    except TimeoutError as error:
        raise DataError(
            f"retrieval=feast: {place} did not answer within {seconds:g} s (retrieval.timeout)."
        ) from error
    except Exception as error:  # each client has its own
        raise DataError(
            f"retrieval=feast: {place}: {type(error).__name__}: {one_line(error, 300)}"
        ) from error


def key_range(definition: str) -> tuple[bytes, bytes]:
    """The first possible key of a definition's records, which is that of a view without keys, and
    the first key after all of them.
    """
    return definition.encode(), f"{definition}0".encode()  # 0 follows the slash


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """``items`` in order, at most ``size`` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]
