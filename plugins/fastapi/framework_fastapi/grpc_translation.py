"""Messages of the protocol over gRPC as its bodies over HTTP, and back: the same bytes of the same
tensors, so that one pipeline answers both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from framework.serving.http.refusal import Refusal
from framework_fastapi.grpc_messages import MESSAGES

#: datatype -> the field that holds its values where they are not sent raw, and the type of those in
#: a binary tensor.
_CONTENTS = {
    "BOOL": ("bool_contents", "?"),
    **{f"INT{8 * size}": ("int_contents", f"<i{size}") for size in (1, 2, 4)},
    **{f"UINT{8 * size}": ("uint_contents", f"<u{size}") for size in (1, 2, 4)},
    "INT64": ("int64_contents", "<i8"),
    "UINT64": ("uint64_contents", "<u8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
}
LENGTH = b"inference-header-content-length"


def body_of(request: Any) -> tuple[bytes, int]:
    """Translate a ``ModelInferRequest``.

    Returns:
        The body of ``POST /v2/models/{name}/infer``, and the length of the JSON at its beginning.

    Raises:
        Refusal: 422, the tensors are not what they say they are.
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise Refusal(422, f"{len(raw)} for {len(request.inputs)} inputs", "raw_input_contents")
    inputs, tail = [], []
    for i, tensor in enumerate(request.inputs):
        if raw and tensor.HasField("contents"):
            raise Refusal(
                422, "give contents, or raw_input_contents for all", f"inputs[{i}].contents"
            )
        content = raw[i] if raw else _encoded(tensor, f"inputs[{i}]")
        tail.append(content)
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {**_values(tensor.parameters), "binary_data_size": len(content)},
            }
        )
    body: dict[str, Any] = {
        "inputs": inputs,
        "parameters": _values(request.parameters) | {"binary_data_output": True},
    }
    if request.id:
        body["id"] = request.id
    if request.outputs:
        body["outputs"] = [
            {"name": output.name, "parameters": _values(output.parameters) | {"binary_data": True}}
            for output in request.outputs
        ]
    head = orjson.dumps(body)
    return b"".join([head, *tail]), len(head)


def response_of(body: bytes, length: int) -> Any:
    """Translate an answer whose tensors are all binary to a ``ModelInferResponse``.

    Args:
        body: Of the answer.
        length: Of the JSON at its beginning.
    """
    answer, at = orjson.loads(body[:length]), length
    response = MESSAGES["ModelInferResponse"](
        model_name=answer["model_name"],
        model_version=answer["model_version"],
        id=answer.get("id", ""),
    )
    for name, value in answer["parameters"].items():
        response.parameters[name].string_param = value
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        response.outputs.add(
            name=output["name"], datatype=output["datatype"], shape=output["shape"]
        )
        response.raw_output_contents.append(body[at : at + size])
        at += size
    return response


def metadata_of(answer: Mapping[str, Any]) -> Any:
    """Translate the answer of ``GET /v2/models/{name}`` to a ``ModelMetadataResponse``."""
    return MESSAGES["ModelMetadataResponse"](**answer)


def _values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    if not parameters:
        return {}
    choices = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: getattr(parameters[name], choice) for name, choice in choices.items() if choice}


def _encoded(tensor: Any, path: str) -> bytes:
    """Encode what a message holds as numbers and texts as a binary tensor."""
    contents = tensor.contents
    if tensor.datatype == "BYTES":
        return _framed(contents.bytes_contents)
    try:
        field, kind = _CONTENTS[tensor.datatype]
    except KeyError:
        raise Refusal(
            422,
            f"'{tensor.datatype[:20]}' is none of BYTES, {', '.join(_CONTENTS)}; FP16 is sent raw",
            f"{path}.datatype",
        ) from None
    values = np.array(getattr(contents, field))
    encoded = values.astype(kind)
    if len(values) and encoded.dtype.kind in "iu" and not np.array_equal(encoded, values):
        raise Refusal(422, f"not a value of {tensor.datatype}", f"{path}.contents.{field}")
    return encoded.tobytes()


def _framed(texts: Iterable[bytes]) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
