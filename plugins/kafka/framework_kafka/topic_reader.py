"""One topic, read from given offsets to the ends that it has when reading begins."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

Offsets = dict[int, int]

#: What librdkafka says on its own comes as an error of ours, so its log is not shown.
QUIET = logging.getLogger("framework_kafka.librdkafka")
QUIET.setLevel(logging.CRITICAL + 1)

#: How often the client looks whether a batch is complete, in seconds.
_LOOK = 0.05


@dataclass(slots=True)
class TopicReader:
    """All partitions of a topic are read by this reader alone; the group only keeps offsets.

    Args:
        topic: The topic's name.
        settings: Properties of librdkafka.
        timeout: Seconds that a broker may be silent.
    """

    topic: str
    settings: Mapping[str, Any]
    timeout: float
    _consumer: Any = field(init=False)

    def __post_init__(self) -> None:
        self._consumer = Consumer(
            {
                **self.settings,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            },
            logger=QUIET,
        )

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Ask what the topic holds.

        Returns:
            Of each partition the offset of its first message and that of its next one.

        Raises:
            KafkaException: The topic does not exist, or no broker answers.
        """
        topic = self._consumer.list_topics(self.topic, timeout=self.timeout).topics[self.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return {
            partition: self._consumer.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=self.timeout
            )
            for partition in sorted(topic.partitions)
        }

    def committed(self, partitions: Iterable[int]) -> Offsets:
        """Ask which offsets the group has.

        Args:
            partitions: The partitions.

        Returns:
            The offset of each that has one.
        """
        queries = [TopicPartition(self.topic, partition) for partition in partitions]
        places = self._consumer.committed(queries, timeout=self.timeout)
        return {place.partition: place.offset for place in places if place.offset >= 0}

    def commit(self, offsets: Offsets) -> None:
        """Commit offsets to the group, and wait until they are.

        Args:
            offsets: The next offset of each partition.

        Raises:
            KafkaException: The group does not take them.
        """
        places = [TopicPartition(self.topic, p, offset) for p, offset in offsets.items()]
        for place in self._consumer.commit(offsets=places, asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)

    def read(
        self, starts: Offsets, ends: Offsets, count: int
    ) -> Iterator[tuple[list[Message], Offsets]]:
        """Read messages, each partition in its order.

        Args:
            starts: Where to begin in each partition.
            ends: The next offset of each partition; later messages may come too.
            count: How many messages make a batch.

        Yields:
            Messages by partition and offset, and the next offsets after them of all partitions.
        """
        offsets = dict(starts)
        waiting = {partition for partition, start in starts.items() if start < ends[partition]}
        if not waiting:
            return
        self._consumer.assign([TopicPartition(self.topic, p, starts[p]) for p in sorted(waiting)])
        while waiting:
            messages = self._batch(waiting, offsets, ends, count)
            messages.sort(key=lambda message: (message.partition(), message.offset()))
            yield messages, dict(offsets)
        self._consumer.unassign()

    def _batch(
        self, waiting: set[int], offsets: Offsets, ends: Offsets, count: int
    ) -> list[Message]:
        """Take messages until there are ``count``, or none is left before the ends."""
        messages: list[Message] = []
        last_event = time.monotonic()
        while waiting and len(messages) < count:
            events = self._consumer.consume(count - len(messages), timeout=_LOOK)
            if events:
                last_event = time.monotonic()
            elif time.monotonic() - last_event > self.timeout:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for event in events:
                partition, error = event.partition(), event.error()
                if error is None:
                    messages.append(event)
                    offsets[partition] = event.offset() + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    # the last offsets may be those of markers, or of a transaction that is open
                    offsets[partition] = max(event.offset(), offsets[partition])
                    waiting.discard(partition)
                else:
                    raise KafkaException(error)
            waiting -= {partition for partition in waiting if offsets[partition] >= ends[partition]}
        return messages

    def listen(self) -> None:
        """Let the client call back with what it has met, such as a refused password."""
        self._consumer.poll(0)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
