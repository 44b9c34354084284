"""Bodies of requests that work when pasted: windows of a pair's golden batch."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import TIME
from framework.pairs.golden import Golden


def example_entity(schema: Schema, golden: Golden) -> dict[str, str]:
    """Give the keys of the first golden window."""
    return dict(zip(schema.entity_keys, golden.context.static[0].tolist(), strict=False))


def example_payload(schema: Schema, golden: Golden, window: int = 0) -> dict[str, Any]:
    """One golden window as a body of ``POST /predict``."""
    context, frequency = golden.context, Frequency.parse(schema.frequency)
    origins = context.origins[window : window + 1]
    static = dict(zip(schema.static, context.static[window].tolist(), strict=True))
    steps = format_times(frequency.shift(origins, np.arange(1 - schema.context_length, 1)))
    numbers = _listed(context.past[window])
    body: dict[str, Any] = {
        "rows": [
            {**static, TIME: step, **dict(zip(schema.past, row, strict=True))}
            for step, row in zip(steps, numbers, strict=True)
        ]
    }
    if schema.known:
        entity = {key: static[key] for key in schema.entity_keys}
        ahead = format_times(frequency.after(origins, schema.horizon)[0])
        known = _listed(context.known[window])
        body["future"] = [
            {**entity, TIME: step, **dict(zip(schema.known, row, strict=True))}
            for step, row in zip(ahead, known, strict=True)
        ]
    return body


def _listed(values: Float64) -> list[list[float | None]]:
    """Numbers as JSON has them, null for NaN."""
    return [[None if isnan(number) else number for number in row] for row in values.tolist()]
