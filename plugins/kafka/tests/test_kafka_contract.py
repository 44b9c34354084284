"""``source=kafka`` keeps the contract of sources, on librdkafka's mock cluster."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from framework_kafka import KafkaOptions
from framework_kafka.source import KafkaSource
from kafka_cases import MockCluster

from framework.data.vocabulary import TIME
from framework.testing.contracts.source import TABLE, SourceContract


class TestKafka(SourceContract):
    def make(self, tmp_path: Path, rows: pd.DataFrame) -> KafkaSource:
        self.cluster = MockCluster()  # lives as long as the test
        plain = rows.assign(**{TIME: [time.isoformat() for time in rows[TIME]]}).astype(object)
        for fields in plain.where(plain.notna(), None).to_dict("records"):
            self.cluster.send(TABLE, fields)
        options = {"bootstrap_servers": self.cluster.servers, "batch": 4, "timeout": "5s"}
        return KafkaSource(KafkaOptions.model_validate(options))
