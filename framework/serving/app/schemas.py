"""The schemas of the OpenAPI document: those of requests are generated from the structs that decode
them, and the pair's columns; those of answers are written here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from framework.data.schema import Schema
from framework.data.vocabulary import (
    ERROR,
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    STALE,
    TIME,
    UNKNOWN_ENTITY,
)
from framework.serving.console.series import SeriesRequest
from framework.serving.pipeline.request_types import When, request_types
from framework.serving.protocols.infer_requests import InferRequest
from framework.serving.protocols.mlflow_scoring import FORMS, Invocation

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_NUMBERS = {"type": "array", "items": _NUMBER}
_STATUSES = [OK, UNKNOWN_ENTITY, MISSING_FEATURE, STALE, SHORT_HISTORY, ERROR]
_WHEN = msgspec.json.schema(When)


def make_schemas(schema: Schema, *, console: bool) -> dict[str, Any]:
    """Describe every request and answer of a pair, by name. ``console``: with what it asks."""
    return {**_requests(schema, console=console), **_answers(schema), **_foreign_answers()}


def _requests(schema: Schema, *, console: bool) -> dict[str, Any]:
    types = request_types(schema)
    structs: list[Any] = [types.payload, types.one, types.many, InferRequest, Invocation]
    _, schemas = msgspec.json.schema_components(
        [*structs, *([SeriesRequest] if console else [])],
        ref_template="#/components/schemas/{name}",
    )
    # What a struct cannot say: that one of some fields is given, and what a pair adds to a struct
    # that all pairs share.
    schemas["PredictRequest"]["oneOf"] = [{"required": [form]} for form in ("rows", "columns")]
    schemas["Invocation"]["oneOf"] = [{"required": [form]} for form in FORMS]
    names = [*schema.static, TIME, *schema.past]
    schemas["InvocationSplit"]["properties"]["columns"]["items"] = {"enum": names}
    if not schema.known:
        del schemas["InvocationParams"]["properties"]["future"]
    return schemas


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _foreign_answers() -> dict[str, Any]:
    tensor = {
        "name": _TEXT,
        "shape": _array({"type": "integer"}),
        "datatype": _TEXT,
        "data": _array({"type": ["string", "number", "boolean", "null"]}),
        "parameters": {"type": "object"},
    }
    answer = {
        "model_name": _TEXT,
        "model_version": _TEXT,
        "id": _TEXT,
        "parameters": {"type": "object"},
        "outputs": _array(_object(tensor, ("data", "parameters"))),
    }
    pair = {"anyOf": [_ref("Pair"), {"type": "null"}]}
    return {
        "InferAnswer": _object(answer, ("id",)),
        "InferError": _object({"error": _TEXT}),
        "Predictions": _object({"predictions": _array({"type": "object"}), "pair": pair}),
    }


def _answers(schema: Schema) -> dict[str, Any]:
    quantiles = _object({str(q): _NUMBERS for q in schema.quantiles})
    interval = _object({"lower": _NUMBERS, "upper": _NUMBERS})
    intervals = {
        "type": "object",
        "additionalProperties": interval,
        "description": "By the levels of the request, such as 80",
    }
    target = _object(
        {"mean": _NUMBERS, "quantiles": quantiles, "intervals": intervals}, ("intervals",)
    )
    forecast = {
        "entity": _ref("Entity"),
        "origin": {"anyOf": [_WHEN, {"type": "null"}]},
        "status": {"type": "string", "enum": _STATUSES},
        "times": _array(_WHEN),
        "targets": _object(dict.fromkeys(schema.targets, target), schema.targets),
        "detail": {"type": ["string", "null"], "description": "Why a status is not ok"},
        "cold": {
            "type": "boolean",
            "description": "The window has no value of a target of its own; the forecast follows "
            "from the other columns",
        },
        SHORT_HISTORY: {
            "type": "boolean",
            "description": "The first steps of the window hold nothing; the forecast follows from "
            "the others",
        },
        "features": {
            "type": "object",
            "additionalProperties": _object(
                {
                    "event_timestamp": {"anyOf": [_WHEN, {"type": "null"}]},
                    "stale": {"type": "boolean"},
                }
            ),
            "description": "By view: the row that was looked up, and whether it is older than "
            "its ttl",
        },
    }
    pair = {
        "name": _TEXT,
        "version": {"type": "integer"},
        "alias": {"type": ["string", "null"]},
        "digest": _TEXT,
    }
    error = {
        "path": {"type": ["string", "null"], "description": "The field, such as rows[3].temp"},
        "message": _TEXT,
    }
    return {
        "Pair": _object(pair),
        "Forecast": _object(forecast, ("cold", "detail", "features", SHORT_HISTORY)),
        "Answer": _object({"pair": _ref("Pair"), "forecasts": _array(_ref("Forecast"))}),
        "Error": _object({"error": _object(error)}),
    }
