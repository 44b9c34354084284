"""The console's part of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from framework.data.schema import Schema

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_NULLABLE_TEXT = {"type": ["string", "null"]}
_WHEN = {"type": "string", "format": "date-time"}
_NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
_ERROR = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
_ABSENT = {"503": "The store does not answer"}


def describe_console(
    schema: Schema, entity: dict[str, str], looks_up: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Paths, and the schemas that they name. ``looks_up``: whether there is a feature store."""
    body = {
        "application/json": {
            "schema": _ref("SeriesRequest"),
            "example": {"entity": entity, "steps": 60, "at": None},
        }
    }
    refusals = {
        "400": "The body is not JSON",
        "413": "The body is too large",
        "415": "The body is not declared as JSON",
    }
    post = {
        "summary": "Actual values of one entity from the store, and its forecasts of the pair's "
        "backtest",
        "description": "Scope predict. With an origin (at) also the steps after it, where they are "
        "known.",
        "requestBody": {"required": True, "content": body},
        "responses": _responses(
            "Series", {**refusals, **_ABSENT, "422": "The body is not what the schema says"}
        ),
    }
    limit = {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    }
    search = {
        "name": "search",
        "in": "query",
        "schema": {"type": "string", "maxLength": 200, "default": ""},
    }
    busy = {"503": "The registry does not answer"}
    wrong = {"422": "limit is not a number from 1 to 1000"}
    paths: dict[str, Any] = {
        "/console/pairs": _get(
            "The pair in each alias and arm, with its backtest",
            "metrics",
            "Pairs",
            {"503": "Too many reads at once"},
        ),
        "/console/history": _get(
            "What happened to the pairs, newest first",
            "admin",
            "History",
            {**busy, **wrong},
            [limit],
        ),
        "/console/diff": _get(
            "What changed between two pairs, as run=diff says it",
            "admin",
            "Differences",
            {**busy, "422": "version or against is neither a version nor an alias"},
            [
                {
                    "name": name,
                    "in": "query",
                    "description": "A version or an alias; the pair that answers, by default",
                    "schema": {"type": "string"},
                }
                for name in ("version", "against")
            ],
        ),
        "/console/monitoring": _get(
            "What the newest run=monitor found, null when none has run",
            "admin",
            "Monitoring",
            {"503": "What was found cannot be read"},
        ),
        "/console/traffic": _get(
            "Requests and latency of the last minutes",
            "metrics",
            "Traffic",
            {"503": "Too many reads at once"},
        ),
    }
    if looks_up:
        errors = {**_ABSENT, **wrong}
        paths["/console/entities"] = _get(
            "Entities that the store has rows of",
            "predict",
            "EntitiesFound",
            errors,
            [search, limit],
        )
        paths["/console/series"] = {"post": post}
    return paths, _schemas(schema)


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _responses(name: str, errors: dict[str, str]) -> dict[str, Any]:
    good = {"description": "Found", "content": {"application/json": {"schema": _ref(name)}}}
    return {
        "200": good,
        **{status: {"description": why, **_ERROR} for status, why in errors.items()},
    }


def _get(
    summary: str, scope: str, name: str, errors: dict[str, str], parameters: list[Any] | None = None
) -> dict[str, Any]:
    operation = {
        "summary": summary,
        "description": f"Scope {scope}.",
        "responses": _responses(name, errors),
    }
    return {"get": {**operation, "parameters": parameters} if parameters else operation}


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


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


def _differences() -> dict[str, Any]:
    change = _object({"key": _TEXT, "before": {}, "after": {}})
    pair = _object({"version": _COUNT, "digest": _TEXT, "aliases": _array(_TEXT), "created": _TEXT})
    lists = ("configuration", "schema", "distributions")
    return {
        "name": _TEXT,
        "before": pair,
        "after": pair,
        **{name: _array(change) for name in lists},
        **{name: {"type": "object"} for name in ("data", "halves", "figures")},
        **{name: _array(_TEXT) for name in ("notes", "lines")},
    }


def _schemas(schema: Schema) -> dict[str, Any]:
    figures = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    side = {
        "type": "object",
        "additionalProperties": _object({"model": figures, "baseline": figures}),
    }
    backtest = _object(
        {"origins": _COUNT, "first": _WHEN, "last": _WHEN, "horizon": _COUNT, "targets": side}
    )
    arm = _object(
        {
            "version": _COUNT,
            "role": {"enum": ["primary", "split", "canary"]},
            "share": {"type": "number"},
            "device": {**_TEXT, "description": "cpu or cuda:N"},
            "gpus": _array(
                _object(
                    {
                        "gpu": _TEXT,
                        "busy": {"type": "number"},
                        "memory_used": _COUNT,
                        "memory_total": _COUNT,
                    }
                )
            ),
            "gpu_notes": _array(_TEXT),
        }
    )
    pair = {
        "alias": _NULLABLE_TEXT,
        "version": _COUNT,
        "digest": _TEXT,
        "run_id": _TEXT,
        "created": _WHEN,
        "since": _or_null(_WHEN),
        "arm": _or_null(arm),
        "backtest": _or_null(backtest),
        "note": {**_NULLABLE_TEXT, "description": "Why backtest is null"},
    }
    entry = {
        "at": _WHEN,
        **dict.fromkeys(("who", "action", "name"), _TEXT),
        **dict.fromkeys(("alias", "reason", "digest"), _NULLABLE_TEXT),
    }
    entry |= {
        **dict.fromkeys(("before", "after"), _or_null(_COUNT)),
        "verdict": _or_null({"type": "object"}),
        "signature": _or_null(_object({"key": _NULLABLE_TEXT, "status": _TEXT})),
    }
    counts = _array(_COUNT)
    percentiles = {"p50": {"type": ["number", "null"]}, "p95": {"type": ["number", "null"]}}
    stage = {
        "stage": _TEXT,
        "arm": _NULLABLE_TEXT,
        "counts": counts,
        "p50": _NUMBERS,
        "p95": _NUMBERS,
    }
    traffic = {
        "now": _WHEN,
        "times": _array(_WHEN),
        "seconds": counts,
        "requests": _array(_object({"status": _TEXT, "arm": _TEXT, "counts": counts})),
        "stages": _array(_object({**stage, "last": _object({"count": _COUNT, **percentiles})})),
        "shadows": _array({"type": "object"}),
        "in_flight": _COUNT,
        "canary": _or_null(
            _object({"alias": _TEXT, "share": {"type": "number"}, "halted": _NULLABLE_TEXT})
        ),
        "degraded": {"type": "object", "additionalProperties": _TEXT},
        "shadowed": _array(_TEXT),
    }
    lines = _object(dict.fromkeys(("mean", "lower", "upper"), _NUMBERS), ("lower", "upper"))
    earlier = _object(
        {
            "origin": _WHEN,
            "times": _array(_WHEN),
            "targets": _object(dict.fromkeys(schema.targets, lines)),
        }
    )
    series = {
        "entity": _ref("Entity"),
        "frequency": _TEXT,
        "times": _array(_WHEN),
        "targets": _object(dict.fromkeys(schema.targets, _NUMBERS)),
        "newest": _or_null(_WHEN),
        "backtest": _object(
            {"pair": _ref("Pair"), "forecasts": _array(earlier), "note": _NULLABLE_TEXT}
        ),
    }
    return {
        "Pairs": _object(
            {"name": _TEXT, "registry": _NULLABLE_TEXT, "pairs": _array(_object(pair))}
        ),
        "History": _object({"total": _COUNT, "entries": _array(_object(entry))}),
        "Differences": _object(_differences()),
        "Monitoring": _object({"report": _or_null({"type": "object"})}),
        "Traffic": _object(traffic),
        "EntitiesFound": _object(
            {"total": _COUNT, "matching": _COUNT, "entities": _array(_ref("Entity"))}
        ),
        "Series": _object(series),
    }
