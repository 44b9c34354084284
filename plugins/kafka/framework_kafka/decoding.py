"""Values of messages as fields: JSON objects and Avro records."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import fastavro

from framework.errors import ConfigError, one_line
from framework.ingestion.stream_tables import BadEntryError
from framework_kafka import Schema, Topic

Fields = Mapping[str, Any]
Decoder = Callable[[bytes], Fields]

#: Before a datum: a zero, and the id of its schema in four bytes.
_HEADER = 5


def decoder_of(table: str, spec: Topic) -> Decoder:
    """Make the decoder of a topic.

    Args:
        table: The name of its table, for messages.
        spec: The topic.

    Returns:
        A function from the value of a message to its fields. It raises
        :class:`~framework.ingestion.stream_tables.BadEntryError` for a value that is none.

    Raises:
        ConfigError: A schema cannot be read.
    """
    where = f"source.topics.{table}"
    if spec.format == "json":
        return from_json
    if spec.avro_schema is not None:
        schema = _parsed(f"{where}.avro_schema", spec.avro_schema)
        return lambda value: from_avro(schema, value)
    schemas = {
        number: _parsed(f"{where}.avro_schemas.{number}", schema)
        for number, schema in spec.avro_schemas.items()
    }
    return lambda value: _with_header(schemas, value)


def from_json(value: bytes) -> Fields:
    """Read a JSON object.

    Args:
        value: Its text in UTF-8.

    Returns:
        The fields; a number with a point or an exponent is a float.

    Raises:
        BadEntryError: It is no JSON, or no object.
    """
    try:
        fields = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadEntryError(f"no JSON: {one_line(error)}") from None
    if not isinstance(fields, dict):
        raise BadEntryError(f"the value is {type(fields).__name__}, not an object with fields")
    return fields


def from_avro(schema: Any, value: bytes) -> Fields:
    """Read an Avro record, of which nothing is left over.

    Args:
        schema: The schema that it was written with, parsed.
        value: The datum.

    Returns:
        The fields; logical types are moments, dates and decimals.

    Raises:
        BadEntryError: The bytes do not follow the schema.
    """
    stream = io.BytesIO(value)
    try:
        fields = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:  # noqa: BLE001  any, from bytes that mean nothing by this schema
        raise BadEntryError(f"not of its Avro schema: {one_line(repr(error))}") from None
    if stream.tell() != len(value):
        raise BadEntryError("not of its Avro schema: bytes are left over")
    if not isinstance(fields, dict):
        raise BadEntryError("the Avro schema is not that of a record")
    return fields


def _with_header(schemas: Mapping[int, Any], value: bytes) -> Fields:
    if len(value) < _HEADER or value[0] != 0:
        raise BadEntryError("it does not begin with the id of a schema; use avro_schema instead")
    number = int.from_bytes(value[1:_HEADER], "big")
    if number not in schemas:
        raise BadEntryError(f"its schema is {number}; avro_schemas has {sorted(schemas)}")
    return from_avro(schemas[number], value[_HEADER:])


def _parsed(where: str, schema: Schema) -> Any:
    try:
        text = json.loads(Path(schema).read_text()) if isinstance(schema, str) else schema
        return fastavro.parse_schema(text)
    except OSError as error:
        raise ConfigError(f"{where}: {schema}: {error.strerror}.") from None
    except Exception as error:  # noqa: BLE001  fastavro raises what it comes across
        raise ConfigError(f"{where}: no Avro schema: {one_line(repr(error))}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
