"""The online half of ``retrieval=feast``: contexts from packed records, which need no Feast, or
from Feast's SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from framework.data.context import Context
from framework.data.schema import Schema
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs
from framework_feast import FeastOptions
from framework_feast.online.marks import notes_of, read_mark, window_length
from framework_feast.online.newest import newest_context, view_keys
from framework_feast.online.window import window_context
from framework_feast.records.packed import (
    NewestRows,
    columns,
    decode_all,
    decode_newest,
    definition,
    record_keys,
    single,
)
from framework_feast.records.records import RecordStore, answering, online_store, open_records

if TYPE_CHECKING:
    from framework_feast.light import FeatureStore

#: Entities whose records are read into windows without a thread.
_INLINE = 256

T = TypeVar("T")


class OnlineFeatures:
    """``store`` opens Feast when it is first called; a process that reads packed records never
    calls it.

    ``forget`` lets it be opened anew: Feast's clients of some stores do not recover when the server
    has been away. ``some``: a few entities of the offline store.
    """

    def __init__(
        self,
        options: FeastOptions,
        store: Callable[[], FeatureStore],
        forget: Callable[[], None],
        some: Callable[[FeatureSet], list[dict[str, str]]],
    ) -> None:
        self._options, self._store, self._forget, self._some = options, store, forget, some
        self._samples: dict[str, list[dict[str, str]]] = {}
        self._records: RecordStore | None = None

    @property
    def records(self) -> RecordStore | None:
        """Open the packed records beside Feast's own; None for a store that has none.

        Raises :class:`ConfigError`.
        """
        if self._records is None:
            options = self._options
            self._records = open_records(options.store, options.timeout, options.connections)
            if self._records is None and (options.read == "packed" or options.longest_window() > 1):
                kind = online_store(options.store)["type"]
                key = (
                    "read=packed"
                    if options.read == "packed"
                    else f"window={options.longest_window()}"
                )
                raise ConfigError(
                    f"retrieval.{key}: online_store.type={kind} is read by Feast's SDK "
                    "alone, the newest row of each key."
                )
        return self._records

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        """Raises :class:`~framework.errors.DataError` when the store does not answer within
        ``retrieval.timeout``.
        """
        records = None if self._options.read == "sdk" else self.records
        if records is None:
            return await self._by_sdk(features, schema, entities, at)
        keys = await _worked(len(entities), lambda: _keys(features, entities))
        async with answering(records.place, self._options.timeout):
            answers = await _read(
                records, keys, windows=schema.context_length > 1 or at is not None
            )
            by_view = {
                name: answers[i * len(entities) : (i + 1) * len(entities)]
                for i, name in enumerate(features.views)
            }
            if (
                entities
                and not any(by_view[features.primary])
                and not await records.holds(primary_records(features))
            ):
                raise DataError(
                    f"retrieval=feast: {records.place} has no entity of view "
                    f"'{features.primary}'; run=materialize."
                )
        return await _worked(
            len(entities), lambda: _context(features, schema, entities, at, by_view)
        )

    def short_views(self, features: FeatureSet, needs: Needs) -> list[str]:
        """The views that are online without a hole, and with fewer rows of each entity than a
        context needs.
        """
        records = None if self._options.read == "sdk" else self.records
        if records is None:
            return []
        notes = notes_of(self._options, records)
        try:
            marks = {
                name: read_mark(notes, definition(name, view))
                for name, view in features.views.items()
            }
        except Exception as error:  # each client has its own
            raise DataError(
                f"retrieval=feast: {records.place}: {type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        lengths = {name: window_length(self._options, name, needs) for name in features.views}
        return [
            name for name, mark in marks.items() if mark is not None and mark.window < lengths[name]
        ]

    async def has_entities(self, features: FeatureSet) -> bool:
        """See :meth:`RetrievalStrategy.has_entities`. By the SDK: whether it finds any of a few
        entities of the offline store.
        """
        records = None if self._options.read == "sdk" else self.records
        if records is None:
            return await self._sdk_finds_some(features)
        async with answering(records.place, self._options.timeout):
            return await records.holds(primary_records(features))

    async def _sdk_finds_some(self, features: FeatureSet) -> bool:
        """True also where the offline store names none: then nothing is known against the online
        one.
        """
        sample = self._samples.get(features.primary)
        if not sample:
            try:
                sample = await asyncio.to_thread(self._some, features)
            except DataError:
                return True
            self._samples[features.primary] = sample
        one_view = FeatureSet(
            primary=features.primary, views={features.primary: features.views[features.primary]}
        )
        newest = await self._newest_by_sdk(
            one_view, sample, frozenset(one_view.feature_names()[:1])
        )
        return not sample or not np.isnat(newest[features.primary].times).all()

    async def _by_sdk(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        columns = frozenset((*schema.past, *schema.static))
        return newest_context(
            features, schema, entities, at, await self._newest_by_sdk(features, entities, columns)
        )

    async def _newest_by_sdk(
        self, features: FeatureSet, entities: Sequence[dict[str, str]], columns: frozenset[str]
    ) -> dict[str, NewestRows]:
        """The SDK blocks, so it is called in a thread."""

        def read() -> dict[str, NewestRows]:
            from framework_feast.online.sdk import (
                read_newest,  # Feast: seconds, and hundreds of megabytes
            )

            return read_newest(self._store(), features, entities, columns)

        try:
            async with answering(
                f"the online store {online_store(self._options.store)['type']}",
                self._options.timeout,
            ):
                return await asyncio.to_thread(read)
        except DataError:
            self._forget()
            raise

    async def close(self) -> None:
        """Release the connections; the next call makes new ones."""
        if self._records is not None:
            await self._records.close()


def primary_records(features: FeatureSet) -> str:
    """Return the prefix of the keys of the primary view's records."""
    return definition(features.primary, features.views[features.primary])


async def _worked(entities: int, work: Callable[[], T]) -> T:
    """Return the result of ``work``.

    Work for many entities runs in a thread, so that the event loop stays free.
    """
    return await asyncio.to_thread(work) if entities > _INLINE else work()


def _keys(features: FeatureSet, entities: Sequence[dict[str, str]]) -> list[bytes]:
    """Of every view in turn."""
    return [
        key
        for name, view in features.views.items()
        for key in record_keys(definition(name, view), view_keys(view, entities))
    ]


def _context(
    features: FeatureSet,
    schema: Schema,
    entities: Sequence[dict[str, str]],
    at: datetime | None,
    records: Mapping[str, Sequence[bytes | None]],
) -> Context:
    """Records, by view, to windows."""
    shape = {name: [len(part) for part in columns(view)] for name, view in features.views.items()}
    every = [record for of_view in records.values() for record in of_view]
    if schema.context_length == 1 and not schema.known and single(every):
        newest = {name: decode_newest(values, *shape[name]) for name, values in records.items()}
        return newest_context(features, schema, entities, at, newest)
    rows = {name: decode_all(values, *shape[name]) for name, values in records.items()}
    return window_context(features, schema, entities, at, rows)


async def _read(records: RecordStore, keys: Sequence[bytes], windows: bool) -> list[bytes | None]:
    """The windows of ``keys``, where wanted and kept, else the newest rows."""
    if not windows:
        return await records.read("newest", keys)
    records_by_view = await records.read("window", keys)
    places = [i for i, record in enumerate(records_by_view) if record is None]
    newest = await records.read("newest", [keys[i] for i in places]) if places else []
    for place, record in zip(places, newest, strict=True):
        records_by_view[place] = record
    return records_by_view
