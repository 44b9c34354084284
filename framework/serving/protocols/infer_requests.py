"""The requests of the Open Inference Protocol, as they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy.typing as npt
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from framework.serving.pipeline.columns import Column
from framework.serving.protocols.tensors import InferTensor, InferTensorParameters, PlainTensor


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


class PlainRequest(Struct, forbid_unknown_fields=True):
    """A request whose tensors are read by :func:`read_plain`."""

    inputs: list[PlainTensor]
    id: str | None = None
    parameters: InferParameters = struct_field(default_factory=InferParameters)
    outputs: list[InferOutput] | None = None


Request = InferRequest | PlainRequest


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """An answer before it is encoded: the outputs that were asked for, in order."""

    model_name: str
    model_version: str
    id: str | None
    parameters: dict[str, str]
    outputs: list[tuple[InferOutput, npt.NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class ReadTensors:
    """Stands for the body of a request whose tensors another transport has read.

    ``request``: what it has beside them. ``size``: bytes of the client's message. ``encode`` gives
    the body that it would be over HTTP: the JSON, and the binary tensors after it. ``write``
    encodes the answer.
    """

    request: PlainRequest
    columns: Mapping[str, Column]
    size: int
    encode: Callable[[], tuple[bytes, bytes]]
    write: Callable[[InferAnswer], bytes]

    def __len__(self) -> int:
        return self.size


def keys_of(request: Request) -> int:
    """Count the keys that a decoded request had at least."""
    count = 1 + (request.id is not None) + (request.outputs is not None)
    parameters = request.parameters
    fields = (parameters.horizon is not UNSET) + (parameters.levels is not UNSET)
    fields += parameters.binary_data_output
    count += fields + (fields > 0)
    for output in request.outputs or ():
        count += 1 + _parameter_keys(output.parameters)
    for tensor in request.inputs:
        count += 3 + (tensor.data is not UNSET) + _parameter_keys(tensor.parameters)
    return count


def _parameter_keys(parameters: InferTensorParameters) -> int:
    fields = (parameters.binary_data_size is not None) + (parameters.binary_data is not None)
    return fields + (fields > 0)
