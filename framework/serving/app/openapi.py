"""The OpenAPI document of one pair: its real columns and types, and examples from its golden batch
that work when pasted.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import (
    ERROR,
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    STALE,
    TIME,
    UNKNOWN_ENTITY,
)
from framework.interfaces.registry import PairVersion
from framework.interfaces.serving_extension import ForecastRoute, HttpRoute
from framework.pairs.golden import Golden
from framework.serving.console.openapi import describe_console
from framework.serving.protocols.open_inference import example_infer, infer_path

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
#: A key is text, or what has one text; so is a category, which may be null where it was in
#: training.
_KEY = {"type": ["string", "number", "boolean"]}
_NULLABLE = {"type": ["string", "number", "boolean", "null"]}
_WHEN = {
    "type": "string",
    "format": "date-time",
    "description": "ISO 8601; without an offset it is UTC",
}
_AT = {
    "anyOf": [_WHEN, {"type": "null"}],
    "default": None,
    "description": "As known at this time; null: the newest",
}
_NUMBERS = {"type": "array", "items": _NUMBER}
_LEVELS = {
    "type": "array",
    "items": {**_NUMBER, "exclusiveMinimum": 0, "exclusiveMaximum": 100},
    "maxItems": 20,
    "default": [],
    "description": "Prediction intervals to answer, in per cent, such as [80, 95]",
}
_STATUSES = [OK, UNKNOWN_ENTITY, MISSING_FEATURE, STALE, SHORT_HISTORY, ERROR]
_REFUSALS = {
    "400": "The body is not JSON",
    "413": "The body is too large or has too many rows",
    "415": "The body is not declared as JSON",
    "422": "The body is not what the schema says; the path names the field",
    "503": "Too many requests at once, or the feature store does not answer; Retry-After says when "
    "to try again",
}


def describe(
    schema: Schema,
    version: PairVersion,
    golden: Golden,
    *,
    looks_up: bool = True,
    console: bool = False,
    more: Iterable[HttpRoute | ForecastRoute] = (),
) -> dict[str, Any]:
    """OpenAPI 3.1. ``looks_up``: whether there is a feature store; without one the routes that ask
    it are left out.

    ``console``: with what the console asks. ``more``: of these, those with a summary.
    """
    payload, entity = example_payload(schema, golden), _entity(schema, golden)
    console_paths, schemas = describe_console(schema, entity, looks_up) if console else ({}, {})
    history = "Each row is a window of its own." if schema.context_length == 1 else _history(schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Forecasts of '{schema.name}'",
            "version": str(version.version),
            "description": f"{', '.join(schema.targets)}: {schema.horizon} steps of "
            f"{schema.frequency} "
            f"ahead. Digest {version.digest}.",
        },
        "paths": {
            "/predict": _post(
                "Forecast from rows in the request", history, "PredictRequest", payload
            ),
            **(_lookups(entity) if looks_up else {}),
            infer_path(schema.name): _post(
                "Open Inference Protocol, version 2",
                "One tensor a column, [n] or [n, 1]; the columns are those of a row of /predict.",
                "InferRequest",
                example_infer(payload, schema),
                "InferAnswer",
                "InferError",
            ),
            "/invocations": _post(
                "MLflow's scoring protocol",
                "One of dataframe_split, dataframe_records, instances and inputs; params "
                "has levels, horizon and future.",
                "Invocation",
                {
                    "dataframe_records": payload["rows"],
                    **({"params": {"future": payload["future"]}} if "future" in payload else {}),
                },
                "Predictions",
            ),
            "/v2": _get("The server's name, version and extensions"),
            "/v2/health/live": _get("Whether the process answers"),
            "/v2/health/ready": _get("Whether a proven pair is loaded"),
            f"/v2/models/{schema.name}": _get("Names, types and shapes of the tensors"),
            f"/v2/models/{schema.name}/ready": _get("Whether a proven pair is loaded"),
            "/ping": _get("200 when a proven pair is loaded, for MLflow's clients"),
            "/version": _get("Of this server"),
            "/health/live": _get("Whether the process answers"),
            "/health/ready": _get("Whether a proven pair is loaded"),
            "/pair": _get("The pair that answers: version, alias, digest, schema"),
            "/metrics": _get("Prometheus text"),
            **console_paths,
            **{route.path: _added(route) for route in more if route.summary},
        },
        "components": {"schemas": {**_schemas(schema), **schemas}},
    }


def _added(route: HttpRoute | ForecastRoute) -> dict[str, Any]:
    methods = route.methods if isinstance(route, HttpRoute) else ("POST",)
    described = {"summary": route.summary, "responses": {"200": {"description": route.summary}}}
    return {method.lower(): described for method in methods}


def _lookups(entity: dict[str, str]) -> dict[str, Any]:
    return {
        "/predict/feast": _post(
            "Forecast one entity from the feature store",
            "",
            "EntityRequest",
            {"entity": entity, "at": None},
        ),
        "/predict/feast/batch": _post(
            "Forecast many entities from the feature store",
            "One forecast per entity, in order, each with its own status.",
            "EntitiesRequest",
            {"entities": [entity], "at": None},
        ),
    }


def _history(schema: Schema) -> str:
    return (
        f"Consecutive rows of one entity, one a step ({schema.frequency}), are its history; "
        f"its last {schema.context_length} are used, "
        "with fewer the status is short_history."
    )


def _post(
    summary: str,
    description: str,
    body: str,
    example: Any,
    answer: str = "Answer",
    error: str = "Error",
) -> dict[str, Any]:
    def content(name: str, **more: Any) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}, **more}}

    return {
        "post": {
            "summary": summary,
            "description": description,
            "requestBody": {"required": True, "content": content(body, example=example)},
            "responses": {
                "200": {"description": "The forecasts, in order", "content": content(answer)},
                **{
                    status: {"description": why, "content": content(error)}
                    for status, why in _REFUSALS.items()
                },
            },
        }
    }


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": summary}}}}


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


def _schemas(schema: Schema) -> dict[str, Any]:
    nullable = {"anyOf": [_NUMBER, {"type": "null"}]}
    columns: dict[str, Any] = {
        name: _NULLABLE if name in schema.nullable else _KEY for name in schema.static
    }
    columns |= {
        TIME: _WHEN,
        **{name: nullable if name in schema.nullable else _NUMBER for name in schema.past},
    }
    entity = _object(dict.fromkeys(schema.entity_keys, _KEY))
    steps = {
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": schema.horizon}, {"type": "null"}],
        "default": None,
    }
    asked = {"levels": _LEVELS, "horizon": {**steps, "description": "Steps to answer; null: all"}}
    request: dict[str, Any] = {"rows": _array(_ref("Row")), "columns": _ref("Columns"), **asked}
    schemas: dict[str, Any] = {
        "Row": _object(columns),
        "Columns": _object({name: _array(kind) for name, kind in columns.items()}),
        "Entity": entity,
        "EntityRequest": _object({"entity": _ref("Entity"), "at": _AT, **asked}, ("at", *asked)),
        "EntitiesRequest": _object(
            {"entities": _array(_ref("Entity")), "at": _AT, **asked}, ("at", *asked)
        ),
        **_answers(schema),
        **_foreign(columns, asked),
    }
    if schema.known:
        keys = {**entity["properties"], TIME: _WHEN}
        schemas["Future"] = _object({**keys, **dict.fromkeys(schema.known, _NUMBER)})
        request["future"] = _array(_ref("Future"))
        schemas["Invocation"]["properties"]["params"]["properties"]["future"] = _array(
            _ref("Future")
        )
    schemas["PredictRequest"] = {
        **_object(request, ("rows", "columns", *asked)),
        "oneOf": [{"required": ["rows"]}, {"required": ["columns"]}],
    }
    return schemas


def _foreign(columns: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    cell = _NULLABLE
    tensor = {
        "name": _TEXT,
        "shape": _array({"type": "integer"}),
        "datatype": _TEXT,
        "data": _array(cell),
    }
    asking = {
        "horizon": asked["horizon"]["anyOf"][0],
        "levels": {**_TEXT, "description": "Per cents, such as 80,95"},
    }
    split = _object(
        {
            "columns": _array({"enum": list(columns)}),
            "data": _array(_array(cell)),
            "index": _array({}),
        },
        ("index",),
    )
    records = _array(_ref("Row"))
    forms = {
        "dataframe_split": split,
        "dataframe_records": records,
        "instances": records,
        "inputs": {"anyOf": [_ref("Columns"), records]},
    }
    outputs = _array(_object({**tensor, "parameters": {"type": "object"}}, ("data", "parameters")))
    answer = {
        "model_name": _TEXT,
        "model_version": _TEXT,
        "id": _TEXT,
        "parameters": {"type": "object"},
        "outputs": outputs,
    }
    pair = {"anyOf": [_ref("Pair"), {"type": "null"}]}
    return {
        "InferRequest": _object(
            {
                "id": _TEXT,
                "inputs": _array(_object(tensor)),
                "parameters": _object(asking, tuple(asking)),
            },
            ("id", "parameters"),
        ),
        "InferAnswer": _object(answer, ("id",)),
        "InferError": _object({"error": _TEXT}),
        "Invocation": {
            **_object(
                {**forms, "params": _object(dict(asked), (*asked, "future"))}, (*forms, "params")
            ),
            "oneOf": [{"required": [form]} for form in forms],
        },
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
        "Forecast": _object(forecast, ("detail", "features")),
        "Answer": _object({"pair": _ref("Pair"), "forecasts": _array(_ref("Forecast"))}),
        "Error": _object({"error": _object(error)}),
    }


def _entity(schema: Schema, golden: Golden) -> dict[str, str]:
    return dict(zip(schema.entity_keys, golden.context.static[0].tolist(), strict=False))


def example_payload(schema: Schema, golden: Golden, window: int = 0) -> dict[str, Any]:
    """One golden window as a body of ``POST /predict``."""
    context, frequency = golden.context, Frequency.parse(schema.frequency)
    origins = context.origins[window : window + 1]
    static = dict(zip(schema.static, context.static[window].tolist(), strict=True))
    steps = format_times(frequency.shift(origins, np.arange(1 - schema.context_length, 1)))
    numbers = _listed(context.past[window])
    body: dict[str, Any] = {
        "rows": [
            {**static, TIME: step, **dict(zip(schema.past, row, strict=True))}
            for step, row in zip(steps, numbers, strict=True)
        ]
    }
    if schema.known:
        entity = {key: static[key] for key in schema.entity_keys}
        ahead = format_times(frequency.after(origins, schema.horizon)[0])
        known = _listed(context.known[window])
        body["future"] = [
            {**entity, TIME: step, **dict(zip(schema.known, row, strict=True))}
            for step, row in zip(ahead, known, strict=True)
        ]
    return body


def _listed(values: Float64) -> list[list[float | None]]:
    """Numbers as JSON has them, null for NaN."""
    return [[None if isnan(number) else number for number in row] for row in values.tolist()]
