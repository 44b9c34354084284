"""The Open Inference Protocol, version 2: ``POST /v2/models/{name}/infer`` with one tensor a
column, JSON or binary.

Inputs: the columns of a row of ``POST /predict``, each ``[n]`` or ``[n, 1]``; ``future.{column}``
for the rows ahead where the pair has known columns. Request parameters: ``horizon`` (int),
``levels`` (text, ``80,95``). Outputs, H steps, T targets: ``mean`` [n, H, T], ``quantiles`` [n, H,
T, Q], ``times`` [n, H], ``origin``, ``status``, ``detail`` [n]; ``intervals`` [n, H, T, L, 2] where
levels are asked for. NaN (null in JSON) where a status is not ok.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import TIME
from framework.serving.answers import Part, Written
from framework.serving.http.asgi import JSON_TYPE, Call
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.decoding import Decoder
from framework.serving.protocols.dialect import Dialect, Translation, together

_LENGTH = b"inference-header-content-length"
_BINARY = b"application/octet-stream"
_TYPES = {
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}
#: What the JSON of a datatype that holds no numbers may have; any other may have integers and
#: floats.
_KINDS: dict[str, tuple[type, ...]] = {"BYTES": (str,), "BOOL": (bool,)}
_Item = int | float | str | bool | None


class InferTensorParameters(Struct):
    binary_data_size: int | None = None
    binary_data: bool | None = None


class InferTensor(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[_Item | list[_Item]] | UnsetType = UNSET
    parameters: InferTensorParameters = struct_field(default_factory=InferTensorParameters)


class InferOutput(Struct, forbid_unknown_fields=True):
    name: str
    parameters: InferTensorParameters = struct_field(default_factory=InferTensorParameters)


class InferParameters(Struct):
    horizon: int | UnsetType = UNSET
    levels: Annotated[str, Meta(description="Per cents, such as 80,95")] | UnsetType = UNSET
    binary_data_output: bool = False


class InferRequest(Struct, forbid_unknown_fields=True):
    inputs: list[InferTensor]
    id: str | None = None
    parameters: InferParameters = struct_field(default_factory=InferParameters)
    outputs: list[InferOutput] | None = None


class ProtocolRefusal(Refusal):
    """A refusal as the protocol has it: one text."""

    @classmethod
    def of(cls, refusal: Refusal) -> ProtocolRefusal:
        return cls(
            refusal.status, refusal.message, refusal.path, refusal.retry_after, refusal.headers
        )

    def body(self) -> dict[str, Any]:
        return {"error": self.message if self.path is None else f"{self.path}: {self.message}"}


class InferenceProtocol(Dialect):
    accepts: ClassVar[frozenset[bytes]] = frozenset({JSON_TYPE, _BINARY, b""})

    def __init__(self, name: str) -> None:
        self._name, self._decode = name, Decoder(InferRequest)

    def refusal(self, refusal: Refusal) -> Refusal:
        return ProtocolRefusal.of(refusal)

    def translate(self, body: bytes, call: Call) -> Translation:
        head, tail = _cut(body, call.headers.get(_LENGTH))
        request = self._decode(head)
        columns: dict[str, list[Any]] = {}
        places: dict[str, int] = {}
        for i, tensor in enumerate(request.inputs):
            if tensor.name in columns:
                raise Refusal(422, f"'{tensor.name}' is given twice", f"inputs[{i}].name")
            columns[tensor.name], tail = _values(tensor, f"inputs[{i}]", tail)
            places[tensor.name] = i
        if tail:
            raise Refusal(422, f"{len(tail)} bytes follow the last binary tensor", "body")
        rows = {name: values for name, values in columns.items() if not name.startswith("future.")}
        translated: dict[str, Any] = {"columns": rows}
        ahead = {
            name.removeprefix("future."): values
            for name, values in columns.items()
            if name not in rows
        }
        if ahead:
            if len({len(values) for values in ahead.values()}) != 1:
                raise Refusal(422, "the inputs future.… differ in length", "inputs")
            translated["future"] = [
                dict(zip(ahead, row, strict=True)) for row in zip(*ahead.values(), strict=True)
            ]
        if request.parameters.horizon is not UNSET:
            translated["horizon"] = request.parameters.horizon
        if request.parameters.levels is not UNSET:
            translated["levels"] = _levels(request.parameters.levels)

        def where(path: str) -> str:
            found = re.fullmatch(r"columns\.(.*?)(?:\[(\d+)\])?", path, re.DOTALL)
            if found is None:
                return f"parameters.{path}" if re.match(r"levels|horizon", path) else path
            if found[1] not in places:
                return f"inputs: {found[1]}"
            return f"inputs[{places[found[1]]}]" + (
                ".name" if found[2] is None else f".data[{found[2]}]"
            )

        try:
            encoded = orjson.dumps(translated)
        except orjson.JSONEncodeError as error:  # an integer beyond 64 bits
            raise Refusal(422, f"a parameter cannot be used: {error}", "parameters") from None
        return Translation(encoded, where, lambda parts: _write(self._name, request, parts))


def _cut(body: bytes, length: bytes | None) -> tuple[bytes, bytes]:
    """The JSON and the binary tensors after it."""
    if length is None:
        return body, b""
    if not length.isdigit() or len(length) > 12 or int(length) > len(body):
        raise Refusal(
            400,
            f"no length within the body: {length[:20].decode('latin-1')}",
            "Inference-Header-Content-Length",
        )
    return body[: int(length)], body[int(length) :]


def _values(tensor: InferTensor, path: str, tail: bytes) -> tuple[list[Any], bytes]:
    """One value a row, null for NaN, and what is left of the binary tensors."""
    shape = tensor.shape
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise Refusal(422, f"[n] or [n, 1] is expected, got {shape[:5]}", f"{path}.shape")
    if tensor.datatype not in _KINDS and tensor.datatype not in _TYPES:
        raise Refusal(
            422,
            f"'{tensor.datatype[:20]}' is none of {', '.join([*_KINDS, *_TYPES])}",
            f"{path}.datatype",
        )
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is UNSET):
        raise Refusal(422, "give data, or binary_data_size and the bytes", f"{path}.data")
    if size is None:
        assert not isinstance(tensor.data, UnsetType)
        values: list[Any] = [
            item for part in tensor.data for item in (part if isinstance(part, list) else [part])
        ]
        kinds = _KINDS.get(tensor.datatype, (int, float))
        wrong = next(
            (i for i, value in enumerate(values) if value is not None and type(value) not in kinds),
            None,
        )
        if wrong is not None:
            raise Refusal(422, f"not a value of {tensor.datatype}", f"{path}.data[{wrong}]")
    else:
        if not 0 <= size <= len(tail):
            raise Refusal(
                422,
                f"{len(tail)} bytes are left, not {size}",
                f"{path}.parameters.binary_data_size",
            )
        content, tail = tail[:size], tail[size:]
        values = (
            _texts(content, path)
            if tensor.datatype == "BYTES"
            else _numbers(content, _TYPES.get(tensor.datatype, "?"), path)
        )
    if len(values) != prod(shape):
        raise Refusal(422, f"{len(values)} values, but shape {shape}", f"{path}.shape")
    return values, tail


def _numbers(content: bytes, kind: str, path: str) -> list[Any]:
    if len(content) % np.dtype(kind).itemsize:
        raise Refusal(
            422,
            f"{len(content)} bytes are no whole number of values",
            f"{path}.parameters.binary_data_size",
        )
    if np.dtype(kind).kind in "iub":
        whole: list[Any] = np.frombuffer(content, kind).tolist()
        return whole
    values = np.frombuffer(content, kind).astype(np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise Refusal(422, "a finite number is needed", f"{path}.data[{infinite[0]}]")
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN


def _texts(content: bytes, path: str) -> list[str]:
    """Each with its length before it, 4 bytes, the lowest first."""
    texts: list[str] = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "little")
        text = content[at + 4 : at + 4 + size]
        if len(text) != size or at + 4 > len(content):
            raise Refusal(422, f"text {len(texts)} is cut off", f"{path}.data[{len(texts)}]")
        try:
            texts.append(text.decode())
        except UnicodeDecodeError:
            raise Refusal(422, "not UTF-8", f"{path}.data[{len(texts)}]") from None
        at += 4 + size
    return texts


def _levels(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Refusal(
            422, f"'{text[:40]}' is no list of per cents such as 80,95", "parameters.levels"
        ) from None


def _write(name: str, request: InferRequest, parts: Sequence[Part]) -> Written:
    forecast = together(parts)
    found: dict[str, npt.NDArray[Any]] = {"mean": forecast.values[..., 0]}
    if forecast.quantiles:
        found["quantiles"] = forecast.values[..., 1:]
    if forecast.intervals:
        found["intervals"] = np.stack(list(forecast.intervals.values()), axis=3)
    found["times"] = np.array(format_times(forecast.times.ravel()), dtype=object).reshape(
        forecast.times.shape
    )
    found["origin"] = np.array(format_times(forecast.origins), dtype=object)
    found["status"], found["detail"] = (
        np.array(words, dtype=object) for words in (forecast.status, forecast.detail)
    )
    wanted = (
        [InferOutput(output, InferTensorParameters(binary_data=None)) for output in found]
        if request.outputs is None
        else request.outputs
    )
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for i, output in enumerate(wanted):
        values = found.get(output.name)
        if values is None:
            raise Refusal(
                422,
                f"there is no output '{output.name[:100]}'; there is {', '.join(found)}",
                f"outputs[{i}].name",
            )
        binary = output.parameters.binary_data
        tensor: dict[str, Any] = {
            "name": output.name,
            "shape": values.shape,
            "datatype": "BYTES" if values.dtype == object else "FP64",
        }
        outputs.append(tensor)
        if request.parameters.binary_data_output if binary is None else binary:
            tail.append(_bytes(values))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            flat = values.ravel().tolist()
            tensor["data"] = (
                ["" if value is None else value for value in flat]
                if values.dtype == object
                else flat
            )
    version = parts[0][0].version.version if len(parts) == 1 else "mixed"
    told = {
        "targets": ",".join(forecast.targets),
        "quantiles": ",".join(map(str, forecast.quantiles)),
    }
    answer = {
        "model_name": name,
        "model_version": str(version),
        "id": request.id,
        "parameters": told,
        "outputs": outputs,
    }
    head = orjson.dumps({key: value for key, value in answer.items() if value is not None})
    if not tail:
        return Written(head)
    return Written(b"".join([head, *tail]), _BINARY, [(_LENGTH, b"%d" % len(head))])


def _bytes(values: npt.NDArray[Any]) -> bytes:
    if values.dtype != object:
        return np.ascontiguousarray(values, dtype="<f8").tobytes()
    encoded = [("" if value is None else value).encode() for value in values.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def metadata(name: str, schema: Schema, versions: Sequence[int]) -> dict[str, Any]:
    """``GET /v2/models/{name}``."""
    texts, length = [*schema.static, TIME], -1
    inputs = [{"name": n, "datatype": "BYTES", "shape": [length]} for n in texts]
    inputs += [{"name": n, "datatype": "FP64", "shape": [length]} for n in schema.past]
    if schema.known:
        inputs += [
            {"name": f"future.{n}", "datatype": "BYTES", "shape": [length]}
            for n in (*schema.entity_keys, TIME)
        ]
        inputs += [
            {"name": f"future.{n}", "datatype": "FP64", "shape": [length]} for n in schema.known
        ]
    answered = [length, schema.horizon, len(schema.targets)]
    outputs = [{"name": "mean", "datatype": "FP64", "shape": answered}]
    if schema.quantiles:
        outputs.append(
            {"name": "quantiles", "datatype": "FP64", "shape": [*answered, len(schema.quantiles)]}
        )
    outputs.append({"name": "times", "datatype": "BYTES", "shape": [length, schema.horizon]})
    outputs += [
        {"name": n, "datatype": "BYTES", "shape": [length]} for n in ("origin", "status", "detail")
    ]
    return {
        "name": name,
        "versions": [str(v) for v in versions],
        "platform": "framework",
        "inputs": inputs,
        "outputs": outputs,
    }


def example_infer(payload: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The inputs that say what a body of ``POST /predict`` says in rows."""
    texts, inputs = {*schema.static, TIME}, []
    for prefix, rows in (("", payload["rows"]), ("future.", payload.get("future", []))):
        for column in rows[0] if rows else ():
            data = [row[column] for row in rows]
            kind = "BYTES" if column in texts else "FP64"
            inputs.append(
                {"name": prefix + column, "shape": [len(rows)], "datatype": kind, "data": data}
            )
    return {"inputs": inputs}


def infer_path(name: str) -> str:
    return f"/v2/models/{name}/infer"
