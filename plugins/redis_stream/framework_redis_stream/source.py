"""Redis Streams as the tables of feature views. An entry is acknowledged once its row is stored.

Of two entries for one key and time the later id counts, also when the earlier one is delivered
again: whatever was not acknowledged is read again in the order of the ids, together with everything
that has been delivered after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pandas as pd
import redis

from framework.errors import DataError
from framework.features.views import View
from framework.ingestion.streams import Entry, StreamSource
from framework.interfaces.source import Batch
from framework.secrets import masked
from framework_redis_stream import Stream


class RedisStreamSource(StreamSource):
    """Connects when the first stream is read. One ingestion of a project's state at a time reads a
    stream; the core's lock sees to that.
    """

    name = "redis_stream"
    parked_suffix = ":dead"

    def read(self, table: str) -> pd.DataFrame:
        """Read every entry that the stream still holds, its fields as text but for
        ``event_timestamp``; nothing is acknowledged.
        """
        with self._failing(table):
            entries = _entries(self._client.xrange(self._key(table)))
        return self.table_of(table, entries)

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """First what was delivered and not acknowledged, then what is new, up to the entries that
        are there when the last one is read.
        """
        key, group = self._key(table), self.options.group
        with self._failing(table):
            self._make_group(key)
            if position is None:
                self._client.xgroup_setid(key, group, "0")
            else:
                yield from self._again(table, view, key)
            while True:
                answer = self._client.xreadgroup(
                    group, self.options.consumer, {key: ">"}, count=self.options.batch
                )
                entries = _entries(answer[0][1] if answer else [])
                if not entries:
                    return
                names = [entry.name for entry in entries]
                on_stored = self._acknowledge(table, key, names)
                yield self.batch(table, view, entries, names[-1], on_stored)
                if len(entries) < self.options.batch:
                    return

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()

    def _again(self, table: str, view: View, key: str) -> Iterator[Batch]:
        """From the oldest entry that nobody has stored to the last one delivered, in order: a later
        correction is stored after it again.
        """
        options = self.options
        idle = int(options.claim_idle.total_seconds() * 1000)
        start, lost_names = "0-0", []
        while True:  # those of consumers that have gone become this one's
            start, _, deleted = self._client.xautoclaim(
                key, options.group, options.consumer, idle, start_id=start, count=1000
            )
            lost_names += deleted
            if start == "0-0":
                break
        waiting = self._waiting(key)
        yield from self._replayed(table, view, key, waiting, lost_names)
        for at in range(
            0, len(waiting), 1000
        ):  # not before: what was stored out of its order is put right by the entries behind it
            self._client.xack(key, options.group, *waiting[at : at + 1000])
        if lost_names:
            raise DataError(
                f"source=redis_stream: stream '{key}': {len(lost_names)} entries were trimmed "
                f"before they were stored, the first {min(lost_names)}; "
                "their rows are lost to this project. Keep more of the stream (MAXLEN, "
                "MINID) and send them again."
            )

    def _replayed(
        self, table: str, view: View, key: str, waiting: list[str], lost_names: list[str]
    ) -> Iterator[Batch]:
        """The entries from the first of ``waiting`` to the last one delivered; ids that the stream
        no longer has are added to ``lost_names``.
        """
        if not waiting:
            return
        options = self.options
        last = next(
            g["last-delivered-id"]
            for g in self._client.xinfo_groups(key)
            if g["name"] == options.group
        )
        first, present = waiting[0], set[str]()
        while True:
            entries = _entries(self._client.xrange(key, min=first, max=last, count=options.batch))
            if not entries:
                break
            present |= {entry.name for entry in entries}
            yield self.batch(table, view, entries, entries[-1].name, None)
            first = f"({entries[-1].name}"
        lost_names += [name for name in waiting if name not in present]

    def _waiting(self, key: str) -> list[str]:
        """Ids that were delivered to this consumer and not acknowledged, in order."""
        names: list[str] = []
        first = "-"
        while True:
            part = self._client.xpending_range(
                key, self.options.group, first, "+", 1000, consumername=self.options.consumer
            )
            names += [entry["message_id"] for entry in part]
            if len(part) < 1000:
                return names
            first = f"({names[-1]}"

    def _acknowledge(self, table: str, key: str, names: list[str]) -> Callable[[], None]:
        def acknowledge() -> None:
            with self._failing(table):
                self._client.xack(key, self.options.group, *names)

        return acknowledge

    def fields_of(self, table: str, entry: Entry) -> Mapping[str, Any]:
        fields: dict[str, str] = entry.body
        return fields

    def bytes_of(self, entry: Entry) -> bytes:
        return repr((entry.name, sorted(entry.body.items()))).encode()

    def park(self, table: str, entry: Entry, why: str) -> None:
        """Copy it under its own id, so that an entry that comes again is parked once."""
        fields = {**entry.body, "framework.entry": entry.name, "framework.error": why}
        with self._failing(table):
            try:
                self._client.xadd(self.parked_in(table), fields, id=entry.name)
            except redis.ResponseError as error:
                if "equal or smaller" not in str(error):
                    raise

    def _make_group(self, key: str) -> None:
        try:
            self._client.xgroup_create(key, self.options.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def stream_of(self, table: str) -> tuple[str, Stream]:
        spec: Stream = self.options.streams.get(table, Stream())
        return spec.key or table, spec

    def _key(self, table: str) -> str:
        return self.stream_of(table)[0]

    @cached_property
    def _client(
        self,
    ) -> Any:  # the stubs join the answers of the asynchronous client to those of this one
        password = self.options.password()
        return redis.Redis.from_url(
            self.options.address(),
            decode_responses=True,
            **({} if password is None else {"password": password}),
        )

    @contextmanager
    def _failing(self, table: str) -> Iterator[None]:
        """Turn an error of Redis or its client into one line without the password."""
        try:
            yield
        except (redis.RedisError, ValueError) as error:
            reason = masked(" ".join(str(error).split()))
            where = masked(self.options.address())
            raise DataError(
                f"source=redis_stream: stream '{self._key(table)}' at {where}: {reason}"
            ) from None


def _entries(answer: list[tuple[str, dict[str, str]]]) -> list[Entry]:
    return [Entry(name, fields) for name, fields in answer]
