"""The door of a request: what gets in as which arrays, what is refused at which path, and that
nothing else can happen.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.data.forecast import Forecast
from framework.data.vocabulary import SHORT_HISTORY, TIME
from framework.serving.app.examples import example_payload
from framework.serving.app.openapi import describe
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.validation import Entities, Payload
from framework.testing import fakes
from framework.testing.servers.fake_server import VERSION, answer_payload, make_pipeline

LONG = fakes.make_schema(context_length=3, known=("holiday", "is weekend"))


def row(day: int = 1, **changed: Any) -> dict[str, Any]:
    made = {
        "airport": "JFK",
        "carrier": "DL",
        "season": "spring",
        TIME: f"2024-03-{day:02}",
        "departures": day,
        "delay": 3.5,
        "temp": 20,
    }
    return {**made, "wind gust": None, **changed}


def ahead(*days: int, **changed: Any) -> list[dict[str, Any]]:
    return [
        {
            "airport": "JFK",
            "carrier": "DL",
            TIME: f"2024-03-{day:02}",
            "holiday": 0,
            "is weekend": day,
            **changed,
        }
        for day in days
    ]


def refusal(schema: Any, body: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        Payload(schema, 100).context(orjson.dumps(body))
    return caught.value


def test_rows_become_arrays_in_the_order_of_the_schema() -> None:
    schema = fakes.make_schema()
    second = row(2, **{"wind gust": 7.25, "carrier": "AA", TIME: "2024-03-02T03:00:00+02:00"})
    context = Payload(schema, 100).context(
        orjson.dumps({"rows": [dict(reversed(row().items())), second]})
    )
    assert context.past.dtype == np.float64
    assert context.past.flags.c_contiguous
    np.testing.assert_array_equal(context.past, [[[1, 3.5, 20, np.nan]], [[2, 3.5, 20, 7.25]]])
    assert context.static.tolist() == [["JFK", "DL", "spring"], ["JFK", "AA", "spring"]]
    assert context.origins.astype(str).tolist() == [
        "2024-03-01T00:00:00.000000",
        "2024-03-02T01:00:00.000000",
    ]
    assert context.known.shape == (2, 3, 0)


@settings(deadline=None)
@given(st.lists(st.floats(-3e38, 3e38), min_size=1, max_size=20))
def test_every_bit_of_a_number_gets_in(numbers: list[float]) -> None:
    context = Payload(fakes.make_schema(), 100).context(
        json.dumps({"rows": [row(temp=number) for number in numbers]}).encode()
    )
    assert context.past[:, 0, 2].tobytes() == np.array(numbers).tobytes()


def test_consecutive_rows_of_an_entity_are_its_history() -> None:
    rows = [row(d) for d in (1, 2, 3, 4)] + [
        row(d, carrier="AA", season="late" if d == 3 else "early") for d in (1, 2, 3)
    ]
    rows += [row(3, carrier="UA")]
    future = ahead(5, 6, 7) + ahead(4, 5, 6, carrier="AA") + ahead(4, 5, 6, carrier="UA", holiday=1)
    context = Payload(LONG, 100).context(orjson.dumps({"rows": rows, "future": future}))
    assert context.status == ["ok", "ok", SHORT_HISTORY]
    assert context.detail == [None, None, "1 steps of history, 3 needed"]
    assert context.past[:2, :, 0].tolist() == [[2, 3, 4], [1, 2, 3]]
    assert context.origins.astype("M8[D]").astype(str).tolist() == [
        "2024-03-04",
        "2024-03-03",
        "2024-03-03",
    ]
    assert context.static[:, 1:].tolist() == [["DL", "spring"], ["AA", "late"], ["UA", "spring"]]
    assert context.known.tolist() == [
        [[0, d] for d in (5, 6, 7)],
        [[0, d] for d in (4, 5, 6)],
        [[1, d] for d in (4, 5, 6)],
    ]


@pytest.mark.parametrize(
    ("days", "what", "path"),
    [
        ((1, 2, 2, 3), "duplicate", f"rows[2].{TIME}"),
        ((1, 3, 2, 4), "gap", f"rows[1].{TIME}"),
        ((2, 1, 3), "unsorted", f"rows[1].{TIME}"),
        ((1, 2, 4), "gap", f"rows[2].{TIME}"),
    ],
)
def test_a_history_is_on_the_grid(days: tuple[int, ...], what: str, path: str) -> None:
    refused = refusal(LONG, {"rows": [row(d) for d in days], "future": ahead(5, 6, 7)})
    assert (refused.status, refused.path) == (422, path)
    assert refused.message.startswith(what)


def test_a_time_between_the_steps_is_off_the_grid() -> None:
    columns = {k: [v] * 3 for k, v in row().items()} | {
        TIME: ["2024-03-01", "2024-03-01T07:00Z", "2024-03-03"]
    }
    refused = refusal(LONG, {"columns": columns, "future": ahead(4, 5, 6)})
    assert refused.path == f"columns.{TIME}[1]"
    assert refused.message.startswith("off the grid")


def test_an_entity_whose_rows_are_apart_is_refused() -> None:
    refused = refusal(LONG, {"rows": [row(1), row(1, carrier="AA"), row(2)], "future": []})
    assert (refused.status, refused.path) == (422, "rows[2].airport")


@pytest.mark.parametrize(
    ("future", "path"),
    [
        (None, "future"),
        ([], "future"),
        (ahead(4, 5), "future"),
        (ahead(4, 5, 6, carrier="AA"), "future"),
        (ahead(4, 5, 5, 6), f"future[2].{TIME}"),
        (ahead(4, 5, 6, holiday=None), "future[0].holiday"),
        (ahead(4, 5, 6, temp=1), "future[0].temp"),
    ],
)
def test_every_step_ahead_needs_its_known_columns_once(future: Any, path: str) -> None:
    body = {"rows": [row(d) for d in (1, 2, 3)]} | ({} if future is None else {"future": future})
    refused = refusal(LONG, body)
    assert (refused.status, refused.path) == (422, path)


def test_a_known_column_that_may_be_null_is_null() -> None:
    schema = LONG.model_copy(update={"nullable": (*LONG.nullable, "holiday")})
    body = {"rows": [row(d) for d in (1, 2, 3)], "future": ahead(4, 5, 6, holiday=None)}
    known = Payload(schema, 100).context(orjson.dumps(body)).known
    assert np.isnan(known[0, :, 0]).all()
    assert known[0, :, 1].tolist() == [4, 5, 6]


def test_known_columns_of_a_schema_without_any_are_an_unknown_field() -> None:
    assert refusal(fakes.make_schema(), {"rows": [row()], "future": ahead(2)}).path == "future"


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*row(), "rows", "columns", "at"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_TIMES = st.sampled_from(
    [
        "2024-03-01",
        "2024-03-02",
        "2024-W09",
        "2200-12-31T23:59:59-23:59",
        "1900-01-01T00:00+14:00",
        "nan",
        "",
    ]
)
#: Mostly what a row may hold, so that most examples get past the first field.
_NUMBERS = st.floats(width=16, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0, 10**30, 1e300, None, float("nan")]
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            k: st.sampled_from(["a", "é\u2028", "\ud800", "\x00"])
            for k in ("airport", "carrier", "season")
        }
    )
    .flatmap(lambda r: st.fixed_dictionaries({TIME: _TIMES}).map(lambda t: {**r, **t}))
    .flatmap(
        lambda r: st.fixed_dictionaries(dict.fromkeys(LONG.past, _NUMBERS)).map(
            lambda n: {**r, **n}
        )
    ),
    max_size=5,
)


def _serve(schema: Any, body: bytes) -> Any:
    """From body to body, the whole pipeline."""
    pair, _ = fakes.make_pair(schema)
    pipeline = make_pipeline(pair, store=False, max_rows=100)
    try:
        forecast = asyncio.run(answer_payload(pipeline, body))
    except Refusal as refused:
        told = refused
    else:
        return orjson.loads(Renderer(VERSION, None, schema.entity_keys)(forecast))
    assert 400 <= told.status < 500
    assert "\n" not in told.message
    orjson.dumps(told.body())
    return None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40) | _ANY.map(lambda value: json.dumps(value).encode()), st.booleans())
def test_no_body_does_anything_but_be_refused(body: bytes, many: bool) -> None:
    assert _serve(LONG, body) is None
    entities = Entities(LONG, 10)
    with pytest.raises(Refusal) as caught:
        (entities.many if many else entities.one)(body)
    assert 400 <= caught.value.status < 500


@settings(max_examples=200, deadline=None)
@given(_ROWS, st.booleans())
def test_rows_of_any_content_are_answered_or_refused(
    rows: list[dict[str, Any]], by_column: bool
) -> None:
    body = {"columns": {k: [r[k] for r in rows] for k in row()}} if by_column else {"rows": rows}
    answer = _serve(fakes.make_schema(), json.dumps(body).encode())
    assert answer is None or [f["status"] for f in answer["forecasts"]] == ["ok"] * len(rows)
    _serve(LONG, json.dumps({**body, "future": ahead(2, 3, 4, airport="a", carrier="a")}).encode())


def test_examples_from_the_golden_batch_answer_it_bit_for_bit_with_history_and_known_columns() -> (
    None
):
    pair, golden = fakes.make_pair(LONG)
    for window in range(len(golden.context)):
        body = example_payload(LONG, golden, window)
        assert len(body["rows"]) == 3
        assert len(body["future"]) == 3
        context = Payload(LONG, 100).context(orjson.dumps(body))
        np.testing.assert_array_equal(
            pair.forecast(context).values, golden.values[window : window + 1]
        )
    required = describe(LONG, VERSION, golden)["components"]["schemas"]["PredictRequest"][
        "required"
    ]
    assert required == ["future"]


def test_an_unknown_origin_and_fractions_of_a_second_are_rendered_as_they_are() -> None:
    origins = np.array(["NaT", "2024-03-01T00:00:00.250000"], dtype="M8[us]")
    times = origins[:, None] + np.array([1_000_000], dtype="m8[us]")
    values = np.array([[[[np.nan]]], [[[0.1 + 0.2]]]])
    entities = np.array([["é"], ["b"]], dtype=object)
    forecast = Forecast(
        origins, times, entities, values, ("y",), (), ["unknown_entity", "ok"], ["no rows", None]
    )
    first, second = orjson.loads(Renderer(VERSION, None, ("key",))(forecast))["forecasts"]
    assert first == {
        "entity": {"key": "é"},
        "origin": None,
        "status": "unknown_entity",
        "times": [],
        "targets": {},
        "detail": "no rows",
    }
    assert (second["origin"], second["times"]) == (
        "2024-03-01T00:00:00.250000Z",
        ["2024-03-01T00:00:01.250000Z"],
    )
    assert second["targets"] == {"y": {"mean": [0.1 + 0.2], "quantiles": {}}}


def test_the_document_describes_the_structs_that_decode() -> None:
    _, golden = fakes.make_pair(LONG)
    schemas = describe(LONG, VERSION, golden, console=True)["components"]["schemas"]
    for request, steps in (("PredictRequest", 3), ("EntityRequest", 3), ("EntitiesRequest", 3)):
        horizon = schemas[request]["properties"]["horizon"]
        assert horizon["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": steps}
        assert "null: all" in horizon["description"]
        assert schemas[request]["additionalProperties"] is False
    described = schemas["Row"]
    assert set(described["required"]) == {*LONG.static, TIME, *LONG.past}
    assert described["properties"][TIME]["format"] == "date-time"
    assert {"type": "null"} in described["properties"]["wind gust"]["anyOf"]
    assert set(schemas["Future"]["required"]) == {*LONG.entity_keys, TIME, *LONG.known}
    largest = described["properties"]["temp"]["maximum"]
    too_large = {"rows": [row(temp=largest * 2)] * 3, "future": []}
    with pytest.raises(Refusal, match="<="):
        Payload(LONG, 10).context(orjson.dumps(too_large))
    assert schemas["InvocationSplit"]["properties"]["columns"]["items"]["enum"] == [
        *LONG.static,
        TIME,
        *LONG.past,
    ]
    split = schemas["Invocation"]["oneOf"]
    assert [form["required"] for form in split] == [
        ["dataframe_split"],
        ["dataframe_records"],
        ["instances"],
        ["inputs"],
    ]
    assert set(schemas["SeriesRequest"]["properties"]) == {"entity", "steps", "at", "arm"}
