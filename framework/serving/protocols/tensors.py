"""Tensors of the Open Inference Protocol: JSON or binary to values, and back to bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec import field as struct_field

from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Column

#: Datatypes of numbers, as they are in a binary tensor.
TYPES = {
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
_read_floats = msgspec.json.Decoder(list[float]).decode
_read_texts = msgspec.json.Decoder(list[str]).decode


class InferTensorParameters(Struct):
    binary_data_size: int | None = None
    binary_data: bool | None = None


class InferTensor(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[_Item | list[_Item]] | UnsetType = UNSET
    parameters: InferTensorParameters = struct_field(default_factory=InferTensorParameters)


class PlainTensor(Struct, forbid_unknown_fields=True):
    """A tensor whose JSON is read by what its datatype says."""

    name: str
    shape: list[int]
    datatype: str
    data: Raw | UnsetType = UNSET
    parameters: InferTensorParameters = struct_field(default_factory=InferTensorParameters)


def read_plain(tensor: PlainTensor, tail: memoryview) -> tuple[Column, memoryview] | None:
    """Read a tensor of which nothing has to be explained.

    Returns:
        One value a row, NaN for null, and what is left of the binary tensors; None where
        :func:`read_tensor` has to look.
    """
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is UNSET) or not 0 <= (size or 0) <= len(tail):
        return None
    content = tail[:size] if isinstance(tensor.data, UnsetType) else tensor.data
    try:
        values = _plain_values(content, tensor.datatype, binary=size is not None)
    except (msgspec.MsgspecError, Refusal, ValueError, RecursionError):
        return None
    if values is None or tensor.shape not in ([len(values)], [len(values), 1]):
        return None
    return values, tail[size or 0 :]


def _plain_values(content: Any, datatype: str, *, binary: bool) -> Column | None:
    if datatype == "BYTES":
        return framed_texts(bytes(content), "") if binary else _read_texts(content)
    kind = TYPES.get(datatype)
    if kind is None:
        return None
    if binary:
        return np.frombuffer(content, kind).astype(np.float64)
    return np.array(_read_floats(content), dtype=np.float64)


def read_tensor(tensor: InferTensor, path: str, tail: bytes) -> tuple[list[Any], bytes]:
    """One value a row, null for NaN, and what is left of the binary tensors."""
    shape = tensor.shape
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise Refusal(422, f"[n] or [n, 1] is expected, got {shape[:5]}", f"{path}.shape")
    if tensor.datatype not in _KINDS and tensor.datatype not in TYPES:
        raise Refusal(
            422,
            f"'{tensor.datatype[:20]}' is none of {', '.join([*_KINDS, *TYPES])}",
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
            framed_texts(content, path)
            if tensor.datatype == "BYTES"
            else _numbers(content, TYPES.get(tensor.datatype, "?"), path)
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


def framed_texts(content: bytes, path: str) -> list[str]:
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


def datatype_of(values: npt.NDArray[Any]) -> str:
    """The datatype that :func:`write_tensor` writes values as."""
    return "BYTES" if values.dtype == object else "FP64"


def write_tensor(values: npt.NDArray[Any]) -> bytes:
    if values.dtype != object:
        return np.ascontiguousarray(values, dtype="<f8").tobytes()
    encoded = [("" if value is None else value).encode() for value in values.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
