"""Raw tensors of the protocol over gRPC as arrays, without a body of HTTP in between, and an answer
from arrays to the bytes of its message.

What clients send again and again is read once: names, types and shapes of the inputs, and what an
answer has beside its values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Column
from framework.serving.protocols.infer_requests import (
    InferAnswer,
    InferOutput,
    PlainRequest,
    ReadTensors,
)
from framework.serving.protocols.tensors import TYPES, datatype_of, framed_texts, write_tensor
from framework_fastapi.grpc_messages import MESSAGES

#: How many layouts of inputs and heads of answers are kept.
_KEPT = 64
#: Bytes of inputs without their values up to which a layout is kept.
_LARGEST = 64 * 1024
#: The tag of ``raw_output_contents`` in a ``ModelInferResponse``: field 6, bytes.
_RAW_OUTPUT = b"\x32"


@dataclass(frozen=True, slots=True)
class Layout:
    """Inputs that are all sent raw, one value for each of ``rows``: names, and the type of the
    values; None for texts.
    """

    names: tuple[str, ...]
    kinds: tuple[np.dtype[Any] | None, ...]
    rows: int

    def read(self, raw: Sequence[bytes]) -> dict[str, Column] | None:
        """Read the columns; None where the bytes are not what the layout says."""
        columns: dict[str, Column] = {}
        for name, kind, content in zip(self.names, self.kinds, raw, strict=True):
            if kind is None:
                try:
                    texts = framed_texts(content, "")
                except Refusal:
                    return None
                if len(texts) != self.rows:
                    return None
                columns[name] = texts
                continue
            if len(content) != self.rows * kind.itemsize:
                return None
            columns[name] = np.frombuffer(content, kind).astype(np.float64, copy=False)
        return columns


def tensors_of(
    parts: Any, size: int, encode: Callable[[], tuple[bytes, int]]
) -> ReadTensors | None:
    """Read the tensors of a request that are all sent raw, with no parameters beside them.

    Args:
        parts: A ``ModelInferParts``.
        size: Bytes of the message.
        encode: Makes the body that it would be over HTTP, and the length of the JSON in it.

    Returns:
        None for a request that has to be translated.
    """
    raw, inputs = list(parts.raw_input_contents), tuple(parts.inputs)
    if len(raw) != len(inputs) or parts.parameters:
        return None
    known = sum(map(len, inputs)) <= _LARGEST
    layout = _layout(inputs) if known else _layout.__wrapped__(inputs)
    columns = None if layout is None else layout.read(raw)
    if columns is None:
        return None
    outputs = None
    if parts.outputs:
        outputs = [MESSAGES["InferRequestedOutputTensor"].FromString(p) for p in parts.outputs]
        if any(output.parameters for output in outputs):
            return None
        outputs = [InferOutput(output.name) for output in outputs]

    def body() -> tuple[bytes, bytes]:
        content, length = encode()
        return content[:length], content[length:]

    read = PlainRequest([], id=parts.id or None, outputs=outputs)
    return ReadTensors(read, columns, size, body, write_answer)


@lru_cache(_KEPT)
def _layout(inputs: tuple[bytes, ...]) -> Layout | None:
    """Read what a request says about its tensors; None for what has to be translated."""
    try:
        tensors = [MESSAGES["InferInputTensor"].FromString(part) for part in inputs]
    except DecodeError:
        return None
    names = tuple(tensor.name for tensor in tensors)
    shapes = {tuple(tensor.shape) for tensor in tensors}
    rows = max(shapes, default=())[:1]  # of one tensor, and then of all
    if not rows or not shapes <= {rows, (*rows, 1)} or len({*names}) != len(names):
        return None
    kinds: list[np.dtype[Any] | None] = []
    for tensor in tensors:
        if tensor.parameters or tensor.HasField("contents"):
            return None
        kind = TYPES.get(tensor.datatype)
        if kind is None and tensor.datatype != "BYTES":
            return None
        kinds.append(None if kind is None else np.dtype(kind))
    return Layout(names, tuple(kinds), rows[0])


def write_answer(answer: InferAnswer) -> bytes:
    """Encode a ``ModelInferResponse`` whose tensors are all raw."""
    outputs = tuple(
        (output.name, datatype_of(values), values.shape) for output, values in answer.outputs
    )
    stamp = (answer.model_name, answer.model_version, tuple(answer.parameters.items()))
    parts = [_head(stamp, outputs)]
    if answer.id:
        parts.append(bytes(MESSAGES["ModelInferResponse"](id=answer.id).SerializeToString()))
    for _, values in answer.outputs:
        content = write_tensor(values)
        parts += (_RAW_OUTPUT, _varint(len(content)), content)
    return b"".join(parts)


@lru_cache(_KEPT)
def _head(
    stamp: tuple[str, str, tuple[tuple[str, str], ...]],
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...],
) -> bytes:
    """Encode what an answer has beside its id and its values: fields may follow in any order."""
    name, version, parameters = stamp
    response = MESSAGES["ModelInferResponse"](model_name=name, model_version=version)
    for key, value in parameters:
        response.parameters[key].string_param = value
    for output, datatype, shape in outputs:
        response.outputs.add(name=output, datatype=datatype, shape=shape)
    return bytes(response.SerializeToString())


def _varint(number: int) -> bytes:
    """Encode a length as protobuf does: 7 bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
