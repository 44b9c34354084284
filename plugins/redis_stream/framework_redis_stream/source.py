"""Redis Streams as the tables of feature views. An entry is acknowledged once its row is stored.

Of two entries for one key and time the later id counts, also when the earlier one is delivered
again: whatever was not acknowledged is read again in the order of the ids, together with everything
that has been delivered after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pandas as pd
import redis

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.features.views import View
from framework.interfaces.source import Batch, Source
from framework.secrets import masked
from framework_redis_stream import Stream
from framework_redis_stream.entries import BadEntryError, row_of

Entry = tuple[str, dict[str, str]]


class RedisStreamSource(Source):
    """Connects when the first stream is read. One ingestion of a project's state at a time reads a
    stream; the core's lock sees to that.
    """

    @property
    def poll(self) -> float | None:
        follow: float | None = self.options.follow
        return follow

    def read(self, table: str) -> pd.DataFrame:
        """Every entry that the stream still holds, its fields as text but for ``event_timestamp``;
        nothing is acknowledged.
        """
        spec = self._stream(table)
        with self._failing(table):
            entries: list[Entry] = self._client.xrange(self._key(table))
        rows = pd.DataFrame([fields for _, fields in entries]).rename(columns=spec.rename)
        if TIME not in rows.columns:
            raise DataError(
                f"source=redis_stream: stream '{self._key(table)}': no field '{TIME}'; it "
                f"has {list(rows.columns)}."
            )
        return rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True, format="ISO8601")})

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
                entries: list[Entry] = answer[0][1] if answer else []
                if not entries:
                    return
                yield self._batch(
                    table,
                    view,
                    entries,
                    self._acknowledge(table, key, [name for name, _ in entries]),
                )
                if len(entries) < self.options.batch:
                    return

    def fingerprint(self) -> dict[str, str]:
        """``{"key (entries)": sha256}`` over ids and fields of the entries that were given, in
        their order.
        """
        return {f"{key} (entries)": digest.hexdigest() for key, digest in self._digests.items()}

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
        first, names = waiting[0], set[str]()
        while True:
            entries: list[Entry] = self._client.xrange(
                key, min=first, max=last, count=options.batch
            )
            if not entries:
                break
            names |= {name for name, _ in entries}
            yield self._batch(table, view, entries, None)
            first = f"({entries[-1][0]}"
        lost_names += [name for name in waiting if name not in names]

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

    def _batch(
        self, table: str, view: View, entries: Sequence[Entry], on_stored: Callable[[], None] | None
    ) -> Batch:
        key = self._key(table)
        digest = self._digests.setdefault(key, hashlib.sha256())
        rename = self._stream(table).rename
        rows, good = [], []
        for entry in entries:
            digest.update(repr((entry[0], sorted(entry[1].items()))).encode())
            try:
                rows.append(row_of(view, entry[1], rename))
                good.append(entry)
            except BadEntryError as error:
                self._bad(key, entry, str(error))
        columns = [*view.identity(), *view.columns]

        def reject(row: int, why: str) -> None:
            with self._failing(table):
                self._bad(key, good[row], why)

        return Batch(
            pd.DataFrame(rows, columns=columns),
            position=entries[-1][0],
            stored=on_stored,
            reject=reject,
        )

    def _acknowledge(self, table: str, key: str, names: list[str]) -> Callable[[], None]:
        def acknowledge() -> None:
            with self._failing(table):
                self._client.xack(key, self.options.group, *names)

        return acknowledge

    def _bad(self, key: str, entry: Entry, why: str) -> None:
        """Parked under its own id, so that an entry that comes again is parked once; or refused."""
        name, fields = entry
        if self.options.bad_entries == "refuse":
            raise DataError(
                f"source=redis_stream: stream '{key}': entry {name}: {why}; mend it, or set "
                "source.bad_entries=park."
            )
        try:
            self._client.xadd(
                f"{key}:dead", {**fields, "framework.entry": name, "framework.error": why}, id=name
            )
        except redis.ResponseError as error:
            if "equal or smaller" not in str(error):
                raise

    def _make_group(self, key: str) -> None:
        try:
            self._client.xgroup_create(key, self.options.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _stream(self, table: str) -> Stream:
        stream: Stream = self.options.streams.get(table, Stream())
        return stream

    def _key(self, table: str) -> str:
        return self._stream(table).key or table

    @cached_property
    def _digests(self) -> dict[str, Any]:
        return {}

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
