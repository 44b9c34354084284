"""Columns that are read as arrays: what a glance passes is what full validation makes of it, and
everything else is full validation's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from framework.data.context import Context
from framework.data.vocabulary import TIME
from framework.serving.app.examples import example_payload
from framework.serving.http.asgi import Call
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Columns
from framework.serving.pipeline.repeated_keys import most_keys
from framework.serving.pipeline.times import parse_times
from framework.serving.pipeline.validation import Payload
from framework.serving.protocols.open_inference import InferenceProtocol, example_infer
from framework.testing import fakes

SCHEMA = fakes.make_schema()
_GOLDEN = fakes.make_pair(SCHEMA)[1]
ROWS = [example_payload(SCHEMA, _GOLDEN, i)["rows"][0] for i in range(len(_GOLDEN.context))]
REQUEST = example_infer({"rows": [{**row, "wind gust": 2.5} for row in ROWS]}, SCHEMA)
NUMBER = next(i for i, tensor in enumerate(REQUEST["inputs"]) if tensor["name"] == "temp")
TEXT = next(i for i, tensor in enumerate(REQUEST["inputs"]) if tensor["name"] == TIME)


def changed(index: int, **fields: Any) -> dict[str, Any]:
    inputs = [dict(tensor) for tensor in REQUEST["inputs"]]
    inputs[index] |= fields
    return {**REQUEST, "inputs": inputs}


def data(index: int, place: int, value: Any) -> dict[str, Any]:
    values = list(REQUEST["inputs"][index]["data"])
    values[place] = value
    return changed(index, data=values)


def outcome(read: Callable[[], Context]) -> Any:
    try:
        context = read()
    except Refusal as refusal:
        return refusal.status, refusal.message, refusal.path
    return (
        context.origins.tolist(),
        context.past.tobytes(),
        context.static.tolist(),
        context.status,
        context.horizon,
        context.levels,
    )


@pytest.mark.parametrize(
    "request_body",
    [
        REQUEST,
        data(NUMBER, 1, 7),
        data(NUMBER, 1, 2**53 + 1),
        data(NUMBER, 1, 1e39),
        data(NUMBER, 1, None),
        data(NUMBER, 1, True),
        data(NUMBER, 1, "7"),
        data(TEXT, 1, "noon"),
        data(TEXT, 1, 5),
        data(0, 1, "x" * 1001),
        data(0, 1, ""),
        changed(0, data=[1, 2, 3, 4], datatype="INT64"),
        changed(NUMBER, shape=[3]),
        changed(NUMBER, data=[[1.0], [2.0], [3.0], [4.0]], shape=[4, 1]),
        changed(NUMBER, data=[1.0], shape=[1]),
        changed(NUMBER, name="tomp"),
        changed(NUMBER, name=REQUEST["inputs"][0]["name"]),
        changed(NUMBER, datatype="FP128"),
        {"inputs": [{**tensor, "data": [], "shape": [0]} for tensor in REQUEST["inputs"]]},
        {**REQUEST, "parameters": {"horizon": 2}},
        {**REQUEST, "parameters": {"levels": "80,x"}},
    ],
)
def test_a_glance_gives_what_full_validation_gives(request_body: dict[str, Any]) -> None:
    """Over bodies that are right, nearly right, and wrong."""
    protocol, call = InferenceProtocol("fake"), Call("POST", "/", b"", {}, b"")
    payload, body = Payload(SCHEMA, 50), json.dumps(request_body).encode()

    def full() -> Context:
        return payload.context(bytes(protocol._full(body, b"").body))

    assert outcome(lambda: payload.context(protocol.translate(body, call).body)) == outcome(full)


def test_plain_tensors_are_not_encoded_again() -> None:
    """JSON and binary ones; a null is one where the column may be null."""
    call = Call("POST", "/", b"", {}, b"")
    body = InferenceProtocol("fake").translate(json.dumps(REQUEST).encode(), call).body
    assert isinstance(body, Columns)

    def refuse() -> bytes:
        raise AssertionError("encoded again")

    numbers = {n: np.asarray(c) for n, c in body.columns.items() if not isinstance(c, list)}
    numbers["wind gust"][0] = np.nan
    context = Payload(SCHEMA, 50).context(Columns(body.columns, 1, refuse))
    assert np.isnan(context.past).sum() == 1
    numbers["temp"][0] = np.nan
    with pytest.raises(AssertionError, match="encoded again"):
        Payload(SCHEMA, 50).context(Columns(body.columns, 1, refuse))


@pytest.mark.parametrize("space", ["", " ", "\t", "\n", "\r"])
def test_keys_of_long_bodies_are_counted(space: str) -> None:
    short = f'{{"a{space}"{space}: "b:c", "d": 1}}'.encode() if not space.strip() else b""
    assert most_keys(b"[" + b",".join([short] * 1000) + b"]") == 1000 * most_keys(short) == 2000


def test_times_keep_their_order_where_some_are_equal() -> None:
    texts = ["2024-03-02", "2024-03-01", "2024-03-02", "2024-03-01T00:00:00+01:00"]
    times = parse_times(texts, str)
    assert times.tolist() == [parse_times([text], str)[0].item() for text in texts]
