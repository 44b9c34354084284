"""Kafka topics as the tables of feature views. Offsets are committed once their rows are stored.

The offsets that are kept with the stored rows decide where reading goes on, so that no other
consumer of the group can take messages away. The group's own offsets follow them; where they are
behind, because the process was killed in between or somebody set them back, the messages from there
on are read again. Of two messages of one partition for one key and time the later one counts, also
when the earlier one is read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from framework.errors import ConfigError, DataError, FrameworkError
from framework.features.views import View
from framework.ingestion.stream_tables import BadEntryError
from framework.ingestion.streams import Entry, StreamSource
from framework.interfaces.source import Batch
from framework.secrets import masked
from framework_kafka import Topic
from framework_kafka.decoding import Decoder, decoder_of
from framework_kafka.topic_reader import QUIET, Offsets, TopicReader


@dataclass(slots=True)
class _State:
    """The state of reading topics.

    ``parts``: the partition of each series, by table. ``mixed``: tables
    with a series in two of them. ``undelivered``: why parked messages were not taken. ``errors``:
    what the client said last.
    """

    readers: dict[str, TopicReader] = field(default_factory=dict)
    decoders: dict[str, Decoder] = field(default_factory=dict)
    parts: dict[str, dict[tuple[Any, ...], str]] = field(default_factory=dict)
    mixed: set[str] = field(default_factory=set)
    undelivered: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class KafkaSource(StreamSource):
    """Connects when the first topic is read. One ingestion of a project's state at a time reads a
    topic; the core's lock sees to that.
    """

    name = "kafka"
    words = ("topic", "message")
    streams_option = "topics"
    parked_suffix = ".dead"

    def read(self, table: str) -> pd.DataFrame:
        """Read every message that the topic still holds; no offset is committed."""
        with self._failing(table):
            reader = self._reader(table)
            bounds = reader.bounds()
            starts = {partition: low for partition, (low, _) in bounds.items()}
            ends = {partition: high for partition, (_, high) in bounds.items()}
            entries = [
                entry
                for messages, _ in reader.read(starts, ends, self.options.batch)
                for entry in _entries(messages)
            ]
        return self.table_of(table, entries)

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """Read from the offsets of ``position`` on to the ends that the partitions have now."""
        topic = self.stream_of(table)[0]
        with self._failing(table):
            self._decoder(table)  # a schema that cannot be read is refused before a broker is asked
            reader = self._reader(table)
            bounds = reader.bounds()
            starts, gaps = self._starts(topic, reader, bounds, position)
            ends = {partition: high for partition, (_, high) in bounds.items()}
            if gaps:  # the place behind the gap is kept, so that it is named once
                yield self.batch(table, view, [], json.dumps(starts), None)
            for messages, offsets in reader.read(starts, ends, self.options.batch):
                on_stored = self._commit(table, reader, offsets)
                yield self.batch(table, view, _entries(messages), json.dumps(offsets), on_stored)
        if gaps:
            raise DataError(
                f"source=kafka: topic '{topic}': {sum(gaps.values())} messages were deleted "
                f"before they were stored, the first at offset {min(gaps)[1]} of partition "
                f"{min(gaps)[0]}; their rows are lost to this project. Keep more of the topic "
                "(retention.ms, retention.bytes) and send them again."
            )

    def _starts(
        self,
        topic: str,
        reader: TopicReader,
        bounds: Mapping[int, tuple[int, int]],
        position: str | None,
    ) -> tuple[Offsets, dict[tuple[int, int], int]]:
        """Return where to begin in each partition, and how many messages are gone before that, by
        partition and offset.
        """
        if position is None:
            return {partition: low for partition, (low, _) in bounds.items()}, {}
        offsets = {int(partition): offset for partition, offset in json.loads(position).items()}
        committed = reader.committed(bounds)
        starts, gaps = {}, {}
        for partition, (low, high) in bounds.items():
            own = offsets.get(
                partition, low
            )  # a partition that was added since is read from its start
            if own > high:
                self.doubt(
                    f"source=kafka: topic '{topic}': partition {partition} ends at {high}, and "
                    f"{own} was stored: the topic was made anew; it is read from its beginning"
                )
                own = low
            if own < low:
                gaps[partition, own] = low - own
            starts[partition] = max(low, min(own, committed.get(partition, own)))
        return starts, gaps

    def _commit(self, table: str, reader: TopicReader, offsets: Offsets) -> Callable[[], None]:
        def commit() -> None:
            with self._failing(table):
                self._flush(table)
                reader.commit(offsets)

        return commit

    def stream_of(self, table: str) -> tuple[str, Topic]:
        spec: Topic = self.options.topics.get(table, Topic())
        return spec.topic or table, spec

    def fields_of(self, table: str, entry: Entry) -> Mapping[str, Any]:
        value = entry.body.value()
        if value is None:
            raise BadEntryError(
                "it has no value; a stored row is not deleted by a stream", option="topic"
            )
        return self._decoder(table)(value)

    def bytes_of(self, entry: Entry) -> bytes:
        return repr((entry.name, entry.body.key(), entry.body.value())).encode()

    def took(self, table: str, view: View, row: Mapping[str, Any], entry: Entry) -> None:
        """Warn of a series in two partitions: only messages of one partition have an order."""
        series = tuple(row[key] for key in view.entity)
        first = self._state.parts.setdefault(table, {}).setdefault(series, entry.part)
        if first != entry.part and table not in self._state.mixed:
            self._state.mixed.add(table)
            self.doubt(
                f"source=kafka: topic '{self.stream_of(table)[0]}': messages of one series are in "
                f"more than one partition, such as {dict(zip(view.entity, series, strict=True))}; "
                "of two for the same time, nobody can tell which is the later. Send them with "
                f"{list(view.entity)} as the key"
            )

    def park(self, table: str, entry: Entry, why: str) -> None:
        message: Message = entry.body
        headers = [
            *(message.headers() or []),
            ("framework.entry", entry.name.encode()),
            ("framework.error", why.encode()),
        ]
        with self._failing(table):
            self._producer.produce(
                self.parked_in(table),
                key=message.key(),
                value=message.value(),
                headers=headers,
                on_delivery=self._delivered,
            )
            self._producer.poll(0)

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._state.undelivered.append(error)

    def _flush(self, table: str) -> None:
        """Wait until every parked message is stored by the brokers."""
        if "_producer" not in vars(self):
            return
        count = self._producer.flush(self._seconds)
        if count or self._state.undelivered:
            reason = self._state.undelivered[0].str() if self._state.undelivered else "no answer"
            raise DataError(
                f"source=kafka: topic '{self.parked_in(table)}' took no bad messages: "
                f"{masked(reason)}; make it, or set source.bad_entries=refuse."
            )

    def close(self) -> None:
        for reader in self._state.readers.values():
            reader.close()
        self._state.readers.clear()

    def _reader(self, table: str) -> TopicReader:
        """One for each table, because the tables are read in turns."""
        if table not in self._state.readers:
            self._state.readers[table] = TopicReader(
                self.stream_of(table)[0],
                {**self._settings, "group.id": self.options.group},
                self._seconds,
            )
        return self._state.readers[table]

    def _decoder(self, table: str) -> Decoder:
        if table not in self._state.decoders:
            self._state.decoders[table] = decoder_of(table, self.stream_of(table)[1])
        return self._state.decoders[table]

    @property
    def _seconds(self) -> float:
        seconds: float = self.options.timeout.total_seconds()
        return seconds

    @property
    def _settings(self) -> dict[str, Any]:
        client = {
            name.replace("_", "."): str(value).lower() if isinstance(value, bool) else value
            for name, value in self.options.client.items()
        }
        return {
            **client,
            "bootstrap.servers": self.options.bootstrap_servers,
            "error_cb": self._heard,
        }

    def _heard(self, error: Any) -> None:
        """Note what the client meets on its own, such as a refused password."""
        self._state.errors.append(error.str())
        del self._state.errors[:-5]

    @cached_property
    def _producer(self) -> Any:
        return Producer(self._settings, logger=QUIET)

    @cached_property
    def _state(self) -> _State:
        return _State()

    @contextmanager
    def _failing(self, table: str) -> Iterator[None]:
        """Turn an error of Kafka or its client into one line without a password."""
        try:
            yield
        except KafkaException as error:
            raise self._failure(table, error.args[0]) from None

    def _failure(self, table: str, reason: KafkaError) -> FrameworkError:
        for reader in self._state.readers.values():
            reader.listen()
        text = " ".join(dict.fromkeys([reason.str(), *self._state.errors[-1:]]))
        message = masked(" ".join(text.split()))
        if "configuration property" in message:
            return ConfigError(f"source.client: {message}.")
        if reason.code() == KafkaError.UNKNOWN_MEMBER_ID:
            message = (
                f"{message}: the group '{self.options.group}' has consumers that share its "
                "partitions; set source.group to a name of its own"
            )
        if reason.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            message = (
                f"{message}; mend source.topics.{table}.topic, or send it a message: the broker "
                "makes a topic then, where it may"
            )
        where = f"topic '{self.stream_of(table)[0]}' at {self.options.bootstrap_servers}"
        return DataError(f"source=kafka: {where}: {message}.")


def _entries(messages: Sequence[Message]) -> list[Entry]:
    return [
        Entry(f"{m.partition()}-{m.offset()}", m, str(m.partition()).zfill(6)) for m in messages
    ]
