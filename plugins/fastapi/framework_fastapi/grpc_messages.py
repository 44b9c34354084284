"""The messages of the Open Inference Protocol over gRPC, from a table.

The numbers are those of ``GRPCInferenceService`` in the protocol's specification
(https://github.com/kserve/open-inference-protocol). A table needs no generated code, which works
with some versions of protobuf only.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"

#: message -> field -> its number and type: a scalar, ``.Message``, ``[]`` of either, or
#: ``{}Message`` for a map from texts; ``?scalar`` is one of a choice.
_TABLE: dict[str, dict[str, tuple[int, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {
        "name": (1, "string"),
        "version": (2, "string"),
        "extensions": (3, "[]string"),
    },
    "ModelMetadataRequest": {"name": (1, "string"), "version": (2, "string")},
    "TensorMetadata": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "[]int64"),
    },
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "[]string"),
        "platform": (3, "string"),
        "inputs": (4, "[].TensorMetadata"),
        "outputs": (5, "[].TensorMetadata"),
    },
    "InferParameter": {
        "bool_param": (1, "?bool"),
        "int64_param": (2, "?int64"),
        "string_param": (3, "?string"),
        "double_param": (4, "?double"),
        "uint64_param": (5, "?uint64"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "[]bool"),
        "int_contents": (2, "[]int32"),
        "int64_contents": (3, "[]int64"),
        "uint_contents": (4, "[]uint32"),
        "uint64_contents": (5, "[]uint64"),
        "fp32_contents": (6, "[]float"),
        "fp64_contents": (7, "[]double"),
        "bytes_contents": (8, "[]bytes"),
    },
    "InferInputTensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "[]int64"),
        "parameters": (4, "{}InferParameter"),
        "contents": (5, ".InferTensorContents"),
    },
    "InferRequestedOutputTensor": {
        "name": (1, "string"),
        "parameters": (2, "{}InferParameter"),
    },
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, "{}InferParameter"),
        "inputs": (5, "[].InferInputTensor"),
        "outputs": (6, "[].InferRequestedOutputTensor"),
        "raw_input_contents": (7, "[]bytes"),
    },
    "InferOutputTensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "[]int64"),
        "parameters": (4, "{}InferParameter"),
        "contents": (5, ".InferTensorContents"),
    },
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, "{}InferParameter"),
        "outputs": (5, "[].InferOutputTensor"),
        "raw_output_contents": (6, "[]bytes"),
    },
}
#: In the specification the tensors are messages within these.
_WITHIN = {
    "TensorMetadata": "ModelMetadataResponse",
    "InferInputTensor": "ModelInferRequest",
    "InferRequestedOutputTensor": "ModelInferRequest",
    "InferOutputTensor": "ModelInferResponse",
}
#: The same bytes as a ``ModelInferRequest``, read no further than to the bytes of its parts.
_PARTS: dict[str, dict[str, tuple[int, str]]] = {
    "ModelInferParts": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, "[]bytes"),
        "inputs": (5, "[]bytes"),
        "outputs": (6, "[]bytes"),
        "raw_input_contents": (7, "[]bytes"),
    },
}
_Field = descriptor_pb2.FieldDescriptorProto


def _full_name(name: str) -> str:
    return ".".join(part for part in ("", PACKAGE, _WITHIN.get(name), name) if part is not None)


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("?"):
        field.oneof_index, kind = 0, kind[1:]
    if kind.startswith("[]"):
        field.label, kind = _Field.LABEL_REPEATED, kind[2:]
    if kind.startswith("{}"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, f".{kind[2:]}")
        field.label, field.type = _Field.LABEL_REPEATED, _Field.TYPE_MESSAGE
        owner = _full_name(message.name)
        field.type_name = f"{owner}.{entry.name}"
    elif kind.startswith("."):
        field.type, field.type_name = _Field.TYPE_MESSAGE, _full_name(kind[1:])
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


def _messages(table: dict[str, dict[str, tuple[int, str]]]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    messages: dict[str, Any] = {}
    for name in sorted(table, key=lambda name: name in _WITHIN):
        outer = messages[_WITHIN[name]].nested_type if name in _WITHIN else file.message_type
        message = messages[name] = outer.add(name=name)
        fields = table[name]
        if any(kind.startswith("?") for _, kind in fields.values()):
            message.oneof_decl.add(name="parameter_choice")
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(_full_name(name)[1:]))
        for name in messages
    }


#: By name; those within others, too.
MESSAGES = _messages(_TABLE)
MODEL_INFER_PARTS = _messages(_PARTS)["ModelInferParts"]
