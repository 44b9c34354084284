"""The inputs and outputs of a model, as the Open Inference Protocol describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from framework.data.schema import Schema
from framework.data.vocabulary import TIME


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
