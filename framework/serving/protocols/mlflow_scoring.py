"""MLflow's scoring protocol: ``POST /invocations`` with ``dataframe_split``, ``dataframe_records``,
``instances`` or ``inputs``.

Columns are matched by name, never by position. The answer has one record a window,
``{target}__{mean or q0.1 …}__{step}``: the columns that the PyFunc of the pair's model gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import orjson
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from framework.data.time import format_times
from framework.serving.answers import Part, Written
from framework.serving.http.asgi import Call
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.decoding import Decoder
from framework.serving.protocols.dialect import Dialect, Translation, together


def _part(name: str) -> dict[str, Any]:
    """The part of the OpenAPI document that the pair's validation checks."""
    return {"$ref": f"#/components/schemas/{name}"}


_RECORDS = {"type": "array", "items": _part("Row")}
_Cell = Annotated[Raw, Meta(extra_json_schema={"type": ["string", "number", "boolean", "null"]})]
_Records = Annotated[Raw, Meta(extra_json_schema=_RECORDS)]
_Inputs = Annotated[Raw, Meta(extra_json_schema={"anyOf": [_part("Columns"), _RECORDS]})]
_ASKED = "PredictRequest/properties"


class InvocationSplit(Struct, forbid_unknown_fields=True):
    columns: list[str]
    data: list[list[_Cell]]
    index: Raw | UnsetType = UNSET


class InvocationParams(Struct, forbid_unknown_fields=True):
    levels: Annotated[Raw, Meta(extra_json_schema=_part(f"{_ASKED}/levels"))] | UnsetType = UNSET
    horizon: Annotated[Raw, Meta(extra_json_schema=_part(f"{_ASKED}/horizon"))] | UnsetType = UNSET
    future: Annotated[Raw, Meta(extra_json_schema=_part(f"{_ASKED}/future"))] | UnsetType = UNSET


class Invocation(Struct, forbid_unknown_fields=True):
    dataframe_split: InvocationSplit | UnsetType = UNSET
    dataframe_records: _Records | UnsetType = UNSET
    instances: _Records | UnsetType = UNSET
    inputs: _Inputs | UnsetType = UNSET
    params: InvocationParams | None = None


FORMS = tuple(name for name in Invocation.__struct_fields__ if name != "params")


class Invocations(Dialect):
    def __init__(self) -> None:
        self._decode = Decoder(Invocation)

    def translate(self, body: bytes, call: Call) -> Translation:
        request = self._decode(body)
        forms = [form for form in FORMS if getattr(request, form) is not UNSET]
        if len(forms) != 1:
            raise Refusal(
                422, f"give one of {', '.join(FORMS)}, got {', '.join(forms) or 'none'}", "body"
            )
        form = forms[0]
        content, where = (
            _split(request.dataframe_split)
            if form == "dataframe_split"
            else _named(getattr(request, form), form)
        )
        parts = [content]
        for name in ("levels", "horizon", "future"):
            value = UNSET if request.params is None else getattr(request.params, name)
            if value is not UNSET:
                parts.append(b'"%s":%s' % (name.encode(), bytes(value)))
        return Translation(b"{" + b",".join(parts) + b"}", where, _write)


def _named(raw: Raw, form: str) -> tuple[bytes, Callable[[str], str]]:
    """Records are our rows, an object of lists our columns."""
    content = bytes(raw)
    own_name = "columns" if content.lstrip()[:1] == b"{" else "rows"
    return b'"%s":%s' % (own_name.encode(), content), lambda path: _outer(path, own_name, form)


def _split(split: InvocationSplit) -> tuple[bytes, Callable[[str], str]]:
    if len(set(split.columns)) != len(split.columns):
        raise Refusal(422, "a column is named twice", "dataframe_split.columns")
    names = [orjson.dumps(name) + b":" for name in split.columns]
    rows = []
    for i, values in enumerate(split.data):
        if len(values) != len(names):
            raise Refusal(
                422, f"{len(values)} values, but {len(names)} columns", f"dataframe_split.data[{i}]"
            )
        rows.append(
            b"{"
            + b",".join([name + bytes(value) for name, value in zip(names, values, strict=True)])
            + b"}"
        )

    def where(path: str) -> str:
        """``rows[3].temp`` is ``dataframe_split.data[3][2]``."""
        match = re.fullmatch(r"rows\[(\d+)\]\.(.*)", path, re.DOTALL)
        if match is not None and match[2] in split.columns:
            return f"dataframe_split.data[{match[1]}][{split.columns.index(match[2])}]"
        return (
            f"dataframe_split.columns: {match[2]}"
            if match is not None
            else _outer(path, "rows", "dataframe_split.data")
        )

    return b'"rows":[' + b",".join(rows) + b"]", where


def _outer(path: str, own_name: str, client_name: str) -> str:
    if path.startswith(own_name):
        return client_name + path[len(own_name) :]
    return f"params.{path}" if re.match(r"levels|horizon|future", path) else path


def _write(parts: Sequence[Part]) -> Written:
    forecast = together(parts)
    kinds = ["mean", *(f"q{q:g}" for q in forecast.quantiles)]
    n, steps, *_ = forecast.values.shape
    names = [
        f"{target}__{kind}__{h}"
        for h in range(1, steps + 1)
        for target in forecast.targets
        for kind in kinds
    ]
    blocks = [np.asarray(forecast.values.reshape(n, -1))]
    for level, ends in forecast.intervals.items():
        names += [
            f"{t}__{end}{level}__{h}"
            for h in range(1, steps + 1)
            for t in forecast.targets
            for end in ("lower", "upper")
        ]
        blocks.append(ends.reshape(n, -1))
    rows = np.concatenate(blocks, axis=1).tolist()  # JSON has null for NaN
    origins = format_times(forecast.origins)
    predictions: list[dict[str, Any]] = []
    for row, origin, status, detail in zip(
        rows, origins, forecast.status, forecast.detail, strict=True
    ):
        record = {"origin": origin, "status": status, **dict(zip(names, row, strict=True))}
        predictions.append(record if detail is None else {**record, "detail": detail})
    pair = parts[0][0].stamp if len(parts) == 1 else None
    return Written(orjson.dumps({"predictions": predictions, "pair": pair}))
