"""The OpenAPI document of one pair: its real columns and types, and examples from its golden batch
that work when pasted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from framework.data.schema import Schema
from framework.interfaces.registry import PairVersion
from framework.interfaces.serving_extension import ForecastRoute, HttpRoute
from framework.pairs.golden import Golden
from framework.serving.app.examples import example_entity, example_payload
from framework.serving.app.schemas import make_schemas
from framework.serving.console.openapi import describe_console
from framework.serving.protocols.open_inference import example_infer, infer_path

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
    payload, entity = example_payload(schema, golden), example_entity(schema, golden)
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
        "components": {"schemas": {**make_schemas(schema, console=console), **schemas}},
    }


def _added(route: HttpRoute | ForecastRoute) -> dict[str, Any]:
    methods = route.methods if isinstance(route, HttpRoute) else ("POST",)
    operation = {"summary": route.summary, "responses": {"200": {"description": route.summary}}}
    return {method.lower(): operation for method in methods}


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
        f"with fewer than {schema.needed_steps} the status is short_history."
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
