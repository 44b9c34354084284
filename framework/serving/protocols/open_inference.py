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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
from msgspec import UNSET

from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import TIME
from framework.serving.answers import Part, Written
from framework.serving.http.asgi import JSON_TYPE, Call
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Column, Columns
from framework.serving.pipeline.decoding import Decoder
from framework.serving.protocols.dialect import Dialect, Translation, together
from framework.serving.protocols.infer_requests import (
    InferAnswer,
    InferOutput,
    InferRequest,
    PlainRequest,
    ReadTensors,
    Request,
    keys_of,
)
from framework.serving.protocols.tensors import (
    InferTensorParameters,
    datatype_of,
    read_plain,
    read_tensor,
    write_tensor,
)

_LENGTH = b"inference-header-content-length"
_BINARY = b"application/octet-stream"


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
        self._name, self._decode = name, Decoder(InferRequest, keys_of)
        self._decode_plain = Decoder(PlainRequest, keys_of)

    def refusal(self, refusal: Refusal) -> Refusal:
        return ProtocolRefusal.of(refusal)

    def translate(self, body: bytes | ReadTensors, call: Call) -> Translation:
        if isinstance(body, ReadTensors):
            return self._read(body)
        head, tail = _cut(body, call.headers.get(_LENGTH))
        return self._plain(head, tail, len(body)) or self._full(head, tail)

    def _plain(self, head: bytes, tail: bytes, size: int) -> Translation | None:
        """Translate a request to arrays; None for one that is not plainly right."""
        try:
            request: PlainRequest = self._decode_plain(head)
        except Refusal:
            return None
        if request.parameters.horizon is not UNSET or request.parameters.levels is not UNSET:
            return None
        columns: dict[str, Column] = {}
        rest = memoryview(tail)
        for tensor in request.inputs:
            values = read_plain(tensor, rest)
            if values is None:
                return None
            columns[tensor.name], rest = values
        if len(rest) or len(columns) != len(request.inputs):
            return None
        places = {tensor.name: i for i, tensor in enumerate(request.inputs)}
        return Translation(
            Columns(columns, size, lambda: bytes(self._full(head, tail).body)),
            _where(places),
            lambda parts: _write(self._name, request, parts),
        )

    def _read(self, tensors: ReadTensors) -> Translation:
        return Translation(
            Columns(
                tensors.columns,
                len(tensors),
                lambda: bytes(self._full(*tensors.encode()).body),
            ),
            _where({name: i for i, name in enumerate(tensors.columns)}),
            lambda parts: Written(
                tensors.write(_answer(self._name, tensors.request, parts)), _BINARY
            ),
        )

    def _full(self, head: bytes, tail: bytes) -> Translation:
        """Translate a request by way of the body of ``POST /predict``."""
        request = self._decode(head)
        columns: dict[str, list[Any]] = {}
        places: dict[str, int] = {}
        for i, tensor in enumerate(request.inputs):
            if tensor.name in columns:
                raise Refusal(422, f"'{tensor.name}' is given twice", f"inputs[{i}].name")
            columns[tensor.name], tail = read_tensor(tensor, f"inputs[{i}]", tail)
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
        try:
            encoded = orjson.dumps(translated)
        except orjson.JSONEncodeError as error:  # an integer beyond 64 bits
            raise Refusal(422, f"a parameter cannot be used: {error}", "parameters") from None
        return Translation(
            encoded, _where(places), lambda parts: _write(self._name, request, parts)
        )


def _where(places: Mapping[str, int]) -> Callable[[str], str]:
    """Name the paths of a body of ``POST /predict`` as those of the client's inputs."""

    def where(path: str) -> str:
        match = re.fullmatch(r"columns\.(.*?)(?:\[(\d+)\])?", path, re.DOTALL)
        if match is None:
            return f"parameters.{path}" if re.match(r"levels|horizon", path) else path
        if match[1] not in places:
            return f"inputs: {match[1]}"
        return f"inputs[{places[match[1]]}]" + (
            ".name" if match[2] is None else f".data[{match[2]}]"
        )

    return where


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


def _levels(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Refusal(
            422, f"'{text[:40]}' is no list of per cents such as 80,95", "parameters.levels"
        ) from None


def _answer(name: str, request: Request, parts: Sequence[Part]) -> InferAnswer:
    forecast = together(parts)
    arrays: dict[str, npt.NDArray[Any]] = {"mean": forecast.values[..., 0]}
    if forecast.quantiles:
        arrays["quantiles"] = forecast.values[..., 1:]
    if forecast.intervals:
        arrays["intervals"] = np.stack(list(forecast.intervals.values()), axis=3)
    arrays["times"] = np.array(format_times(forecast.times.ravel()), dtype=object).reshape(
        forecast.times.shape
    )
    arrays["origin"] = np.array(format_times(forecast.origins), dtype=object)
    arrays["status"], arrays["detail"] = (
        np.array(words, dtype=object) for words in (forecast.status, forecast.detail)
    )
    names = (
        [InferOutput(output, InferTensorParameters(binary_data=None)) for output in arrays]
        if request.outputs is None
        else request.outputs
    )
    for i, output in enumerate(names):
        if output.name not in arrays:
            raise Refusal(
                422,
                f"there is no output '{output.name[:100]}'; there is {', '.join(arrays)}",
                f"outputs[{i}].name",
            )
    version = parts[0][0].version.version if len(parts) == 1 else "mixed"
    parameters = {
        "targets": ",".join(forecast.targets),
        "quantiles": ",".join(map(str, forecast.quantiles)),
    }
    outputs = [(output, arrays[output.name]) for output in names]
    return InferAnswer(name, str(version), request.id, parameters, outputs)


def _write(name: str, request: Request, parts: Sequence[Part]) -> Written:
    answer = _answer(name, request, parts)
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output, values in answer.outputs:
        binary = output.parameters.binary_data
        tensor: dict[str, Any] = {
            "name": output.name,
            "shape": values.shape,
            "datatype": datatype_of(values),
        }
        outputs.append(tensor)
        if request.parameters.binary_data_output if binary is None else binary:
            tail.append(write_tensor(values))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = (
                ["" if value is None else value for value in values.ravel().tolist()]
                if values.dtype == object
                else values.ravel()
            )
    body = {
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "id": answer.id,
        "parameters": answer.parameters,
        "outputs": outputs,
    }
    head = orjson.dumps(
        {key: value for key, value in body.items() if value is not None},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    if not tail:
        return Written(head)
    return Written(b"".join([head, *tail]), _BINARY, [(_LENGTH, b"%d" % len(head))])


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
