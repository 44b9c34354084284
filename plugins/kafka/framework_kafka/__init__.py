"""``source=kafka``: messages of Kafka topics, in JSON or Avro."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from framework.ingestion.stream_tables import StreamOptions, StreamTable
from framework.interfaces.plugin import Component, hookimpl
from framework.options import UNSHOWN, Duration, FreeForm

#: Properties of librdkafka that the source sets itself, and the option that decides each.
_OWN = {
    "bootstrap_servers": "source.bootstrap_servers",
    "metadata_broker_list": "source.bootstrap_servers",
    "group_id": "source.group",
    "enable_auto_commit": "none: offsets are committed when their rows are stored",
    "enable_auto_offset_store": "none: offsets are committed when their rows are stored",
    "enable_partition_eof": "none",
    "auto_offset_reset": "none: a store without rows is filled from the first message on",
    "ssl_key_pem": "ssl_key_location, the file of the key: a configuration is recorded",
}

#: An Avro schema written out, or the path of its file.
Schema = dict[str, Any] | str


class Topic(StreamTable):
    """``topic``: its name, null for the name of the table. ``format``: of the messages' values.
    ``avro_schema``: of messages that are an Avro datum and nothing else; the schema, or the path of
    its file. ``avro_schemas``: instead, ``{id: schema}`` for messages that begin with the id of
    their schema, as the serializers of a schema registry write them.
    """

    topic: str | None = None
    format: Literal["json", "avro"] = "json"
    avro_schema: Schema | None = None
    avro_schemas: dict[int, Schema] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _schema_for_avro(self) -> Self:
        count = (self.avro_schema is not None) + bool(self.avro_schemas)
        if self.format == "avro" and count != 1:
            raise ValueError("format: avro needs avro_schema or avro_schemas, one of the two")
        if self.format == "json" and count:
            raise ValueError("avro_schema and avro_schemas go with format: avro")
        return self


class KafkaOptions(StreamOptions):
    """One topic for each table; those that ``topics`` does not name have the name of the table and
    JSON objects with the fields of the view.

    ``bootstrap_servers``: such as ``kafka-1:9092,kafka-2:9092``. ``group`` holds the committed
    offsets. ``client``: more properties of librdkafka, ``_`` for ``.``: ``{security_protocol:
    SASL_SSL, sasl_mechanism: SCRAM-SHA-512, sasl_username: me, sasl_password: "${oc.env:NAME}"}``.
    ``timeout``: how long a broker may be silent. Parked messages are in the topic ``{topic}.dead``.
    """

    bootstrap_servers: str
    topics: dict[str, Topic] = Field(default_factory=dict)
    client: FreeForm = Field(default_factory=dict)
    timeout: Duration = timedelta(seconds=30)

    @field_validator("client")
    @classmethod
    def _not_our_own(cls, client: dict[str, Any]) -> dict[str, Any]:
        for name, value in client.items():
            if (instead := _OWN.get(name.replace(".", "_"))) is not None:
                raise PydanticCustomError(UNSHOWN, f"{name} is not set here; use {instead}")
            if isinstance(value, dict | list):
                raise PydanticCustomError(
                    UNSHOWN, f"{name} holds keys; a property is one key, such as sasl_mechanism"
                )
        return client


@hookimpl
def components() -> list[Component]:
    summary = "Kafka topics in JSON or Avro, at least once"
    return [
        Component("source", "kafka", "framework_kafka.source:KafkaSource", KafkaOptions, summary)
    ]
