"""librdkafka's own mock cluster: brokers inside this process, which other processes reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def message(shop: object, day: int, y: object, **changed: Any) -> dict[str, Any]:
    """Make the fields of one row."""
    time = (FIRST + timedelta(days=day)).isoformat()
    return {"shop": shop, "event_timestamp": time, "y": y, "kind": "k", **changed}


class MockCluster:
    """Topics have four partitions and are made when something is sent to them."""

    def __init__(self) -> None:
        self.producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def send(
        self, topic: str, *values: Mapping[str, Any] | bytes | None, partition: int = 0
    ) -> None:
        for value in values:
            body = json.dumps(value).encode() if isinstance(value, Mapping) else value
            self.producer.produce(topic, value=body, partition=partition)
        assert self.producer.flush(10) == 0

    def committed(self, topic: str, group: str = "framework") -> dict[int, int]:
        client = Consumer({"bootstrap.servers": self.servers, "group.id": group, "log_level": 0})
        places = client.committed([TopicPartition(topic, p) for p in range(4)], timeout=10)
        client.close()
        return {place.partition: place.offset for place in places if place.offset >= 0}

    def messages(self, topic: str) -> list[Any]:
        """Everything in the topic, by partition and offset."""
        client = Consumer(
            {"bootstrap.servers": self.servers, "group.id": "reader", "enable.partition.eof": True}
        )
        partitions = client.list_topics(topic, timeout=10).topics[topic].partitions
        client.assign([TopicPartition(topic, p, 0) for p in partitions])
        ends, messages = 0, []
        while ends < len(partitions):
            for event in client.consume(1000, timeout=0.1):
                if event.error() is None:
                    messages.append(event)
                else:
                    ends += 1
        client.close()
        return sorted(messages, key=lambda m: (m.partition(), m.offset()))
