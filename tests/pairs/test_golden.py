"""The golden batch keeps every bit through JSON and measures how far an answer is off."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.vocabulary import MISSING_FEATURE, OK
from framework.pairs.golden import Golden
from framework.testing.fakes import make_pair, make_schema

PAIR, GOLDEN = make_pair(make_schema(known=("promo",), context_length=2))


def test_json_keeps_every_bit() -> None:
    again = Golden.from_json(GOLDEN.to_json())
    for name in ("past", "known"):
        before, after = getattr(GOLDEN.context, name), getattr(again.context, name)
        assert before.dtype == after.dtype
        assert before.tobytes() == after.tobytes()
    assert np.isnan(again.context.past).any()
    assert again.context.origins.tolist() == GOLDEN.context.origins.tolist()
    assert again.context.static.tolist() == GOLDEN.context.static.tolist()
    assert again.values.tobytes() == GOLDEN.values.tobytes()
    assert (again.tolerance, again.context.status) == (GOLDEN.tolerance, [OK] * 4)
    assert "NaN" not in GOLDEN.to_json()


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_json_keeps_any_number(value: float) -> None:
    values = np.full_like(GOLDEN.values, value)
    assert (
        Golden.from_json(replace(GOLDEN, values=values).to_json()).values.tobytes()
        == values.tobytes()
    )


def test_arrays_without_columns_survive() -> None:
    _, golden = make_pair(make_schema(known=()))
    assert Golden.from_json(golden.to_json()).context.known.shape == (4, 3, 0)


def test_replay_of_what_was_read_back_is_exact() -> None:
    again = Golden.from_json(GOLDEN.to_json())
    assert again.difference(PAIR.forecast(again.context)) == 0.0


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_difference_is_relative_whatever_the_unit_of_the_target(unit: float) -> None:
    values = np.arange(1.0, GOLDEN.values.size + 1).reshape(GOLDEN.values.shape) * unit
    values[1, 2, 0, 0] = 0.0  # beside its target's size, a change of a value near 0 is small too
    golden, forecast = replace(GOLDEN, values=values), PAIR.forecast(GOLDEN.context)
    usual = values[:, :, 0].mean()

    def difference(place: tuple[int, ...], change: float) -> float:
        changed = values.copy()
        changed[place] += change
        return golden.difference(replace(forecast, values=changed))

    largest = (len(values) - 1, -1, 0, -1)
    assert difference(largest, 0.01 * values[largest]) == pytest.approx(0.01)
    assert difference((1, 2, 0, 0), 0.01 * usual) == pytest.approx(0.01)


def test_a_target_that_is_always_0_has_a_unit_of_1() -> None:
    nothing = replace(GOLDEN, values=np.zeros_like(GOLDEN.values))
    forecast = PAIR.forecast(GOLDEN.context)
    assert nothing.difference(replace(forecast, values=nothing.values + 0.25)) == 0.25


def test_a_window_without_a_forecast_is_infinitely_far() -> None:
    status = [OK, MISSING_FEATURE, OK, OK]
    assert GOLDEN.difference(PAIR.forecast(replace(GOLDEN.context, status=status))) == float("inf")
    assert GOLDEN.difference(PAIR.forecast(GOLDEN.context.take(np.array([0, 1])))) == float("inf")


def test_a_damaged_batch_is_not_read() -> None:
    with pytest.raises(json.JSONDecodeError):
        Golden.from_json(GOLDEN.to_json()[:-3])
