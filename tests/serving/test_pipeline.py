"""The pipeline: statuses, failures kept to the windows at fault, the loop left free."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from framework.data.context import Context
from framework.errors import FrameworkError
from framework.pairs.intervals import calibrate
from framework.pairs.pair import Pair
from framework.serving.app.examples import example_payload
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.parts import MAX_ATTEMPTS
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.validation import Entities
from framework.testing import fakes
from framework.testing.folder_registry import make_errors
from framework.testing.servers.fake_server import (
    VERSION,
    answer_entities,
    answer_payload,
    make_pipeline,
)


def context_of(n: int, **named: int) -> Context:
    """``n`` windows; ``BROKEN=3`` gives window 3 that static value."""
    schema = fakes.make_schema()
    static = np.array([[f"a{i}", "b", "c"] for i in range(n)], dtype=object)
    for value, i in named.items():
        static[i, 2] = value
    return fakes.make_context(schema, static, np.datetime64("2024-03-01", "us"), seed=1)


def test_a_forecast_is_the_pairs_own_bit_for_bit_whatever_the_statuses() -> None:
    pair, _ = fakes.make_pair()
    context = context_of(40)
    context.status[3], context.detail[3] = "stale", "4 days old"
    served, own = make_pipeline(pair).forecast(context), pair.forecast(context)
    np.testing.assert_array_equal(served.values, own.values)
    assert (served.status, served.detail) == (own.status, own.detail)
    assert served.entities.tolist() == own.entities.tolist()
    np.testing.assert_array_equal(served.times, own.times)


def test_only_the_windows_at_fault_get_the_status_error() -> None:
    pair, _ = fakes.make_pair()
    context = context_of(90, BROKEN=17)
    context.status[2] = "stale"
    served = make_pipeline(pair).forecast(context)
    assert [i for i, status in enumerate(served.status) if status == "error"] == [17]
    assert "BROKEN" in str(served.detail[17])
    good = [i for i in range(90) if i not in (2, 17)]
    np.testing.assert_array_equal(
        served.values[good], pair.forecast(context.take(np.array(good))).values
    )
    assert np.isnan(served.values[[2, 17]]).all()
    assert context.status.count("error") == 0, "the context of the caller was changed"


def test_a_model_that_fails_for_all_is_asked_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, _ = fakes.make_pair()
    calls = 0

    def predict(_: Any) -> Any:
        nonlocal calls
        calls += 1
        raise FrameworkError("the model is broken.")

    monkeypatch.setattr(pair.model, "predict", predict)
    served = make_pipeline(pair).forecast(context_of(2000))
    assert set(served.status) == {"error"}
    assert calls <= MAX_ATTEMPTS + 3


def test_a_large_request_leaves_the_event_loop_free() -> None:
    pair, golden = fakes.make_pair()
    row = {**example_payload(pair.schema, golden)["rows"][0], "season": fakes.SLOW}
    body = orjson.dumps({"rows": [row] * 1500})

    async def longest_pause() -> float:
        pipeline = make_pipeline(pair)
        work = asyncio.create_task(answer_payload(pipeline, body))
        longest, before = 0.0, time.perf_counter()
        while not work.done():
            await asyncio.sleep(0.001)
            longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
        assert len((await work).status) == 1500
        return longest

    assert asyncio.run(longest_pause()) < 0.3


def with_errors(pair: Pair) -> Pair:
    return replace(pair, calibration=calibrate(make_errors(pair.schema), pair.schema))


def test_intervals_are_answered_at_the_levels_asked_on_every_route() -> None:
    pair, golden = fakes.make_pair()
    pair = with_errors(pair)
    pipeline = make_pipeline(pair)
    render = Renderer(VERSION, None, pair.schema.entity_keys)
    body = {**example_payload(pair.schema, golden), "levels": [80, 95.5]}
    entity = {"airport": "JFK", "carrier": "DL"}
    lookups = [
        Entities(pair.schema, 10).one(orjson.dumps({"entity": entity, "levels": [80, 95.5]})),
        Entities(pair.schema, 10).many(
            orjson.dumps(
                {"entities": [entity, {**entity, "airport": "nowhere"}], "levels": [80, 95.5]}
            )
        ),
    ]
    forecasts = [asyncio.run(answer_payload(pipeline, orjson.dumps(body)))]
    forecasts += [asyncio.run(answer_entities(pipeline, lookup)) for lookup in lookups]
    for forecast in forecasts:
        entry = orjson.loads(render(forecast))["forecasts"][0]
        for target in pair.schema.targets:
            found = entry["targets"][target]
            assert list(found["intervals"]) == ["80", "95.5"]
            width = np.array(found["quantiles"]["0.9"]) - np.array(found["quantiles"]["0.1"])
            for level, low, high in (("80", -40, 40), ("95.5", -48, 48)):
                ends = found["intervals"][level]
                assert np.all(ends["lower"] < np.array(found["mean"]))
                assert np.allclose(
                    (np.array(ends["upper"]) - found["mean"]) / (width + 0.2), high / 2.2, atol=1.0
                )
                assert np.allclose(
                    (np.array(ends["lower"]) - found["mean"]) / (width + 0.2), low / 2.2, atol=1.0
                )
    many = orjson.loads(render(forecasts[-1]))["forecasts"]
    assert many[1]["status"] == "unknown_entity"
    assert many[1]["targets"] == {}


def test_a_shorter_horizon_has_the_first_steps_of_its_intervals() -> None:
    pair, golden = fakes.make_pair()
    pipeline = make_pipeline(with_errors(pair))
    body = {**example_payload(pair.schema, golden), "levels": [80]}
    whole = asyncio.run(answer_payload(pipeline, orjson.dumps(body)))
    part = asyncio.run(answer_payload(pipeline, orjson.dumps({**body, "horizon": 2})))
    assert part.values.shape[1] == part.times.shape[1] == part.intervals["80"].shape[1] == 2
    np.testing.assert_array_equal(part.values, whole.values[:, :2])
    np.testing.assert_array_equal(part.intervals["80"], whole.intervals["80"][:, :2])


def test_without_levels_there_are_no_intervals() -> None:
    pair, golden = fakes.make_pair()
    forecast = asyncio.run(
        answer_payload(
            make_pipeline(with_errors(pair)), orjson.dumps(example_payload(pair.schema, golden))
        )
    )
    assert forecast.intervals == {}
    assert b"intervals" not in Renderer(VERSION, None, pair.schema.entity_keys)(forecast)


@pytest.mark.parametrize(
    ("levels", "calibrated", "message"),
    [
        ([99.9], True, "level 99.9 needs more errors"),
        ([80], False, "this pair has no prediction intervals"),
        ([100], True, "Expected `float` < 100.0"),
        (["80"], True, "Expected `float`, got `str`"),
        (80, True, "Expected `array`"),
    ],
)
def test_levels_that_cannot_be_answered_are_refused_at_the_door(
    levels: Any, calibrated: bool, message: str
) -> None:
    pair, golden = fakes.make_pair()
    pipeline = make_pipeline(with_errors(pair) if calibrated else pair)
    body = orjson.dumps({**example_payload(pair.schema, golden), "levels": levels})
    with pytest.raises(Refusal, match=message.replace("`", "'").replace(".", r"\.")) as refusal:
        pipeline.validate(body)
    assert refusal.value.status == 422
    assert str(refusal.value.path).startswith("levels")
