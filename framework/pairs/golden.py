"""The golden batch: some raw windows and the forecasts they gave at training time; replayed before
a pair is trusted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.vocabulary import CPU, OK
from framework.errors import FrameworkError, RefusedError
from framework.pairs.pair import Pair

#: Between two devices sums are made in another order, in single precision at the least: the largest
#: relative difference of a golden batch that another device than training's may give.
ACROSS_DEVICES = 1e-4


def _numbers(values: Float64) -> Any:
    """Nested lists, null for NaN; JSON keeps every bit of a float64."""
    return np.where(np.isnan(values), None, values).tolist()  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Golden:
    """``context`` has only ``ok`` windows; ``values[n, H, T, 1 + Q]`` are their forecasts;
    ``tolerance`` is relative.
    """

    context: Context
    values: Float64
    tolerance: float

    def allowed(self, device: str) -> float:
        """The largest relative difference of an answer on ``device``; training recorded on the
        CPU.
        """
        return self.tolerance if device == CPU else max(self.tolerance, ACROSS_DEVICES)

    def difference(self, forecast: Forecast) -> float:
        """Return the largest difference, relative to the value or, where that is more, to the mean
        size of its target's values; infinite when a window got no forecast.
        """
        if forecast.values.shape != self.values.shape or not np.isfinite(forecast.values).all():
            return float("inf")
        sizes = np.abs(self.values)
        usual = sizes.mean(axis=(0, 1, 3), keepdims=True)
        scale = np.maximum(sizes, np.where(usual > 0, usual, 1.0))
        return float((np.abs(forecast.values - self.values) / scale).max())

    def to_json(self) -> str:
        c = self.context
        return json.dumps(
            {
                "origins": c.origins.astype(str).tolist(),
                "past": {"shape": c.past.shape, "values": _numbers(c.past.ravel())},
                "known": {"shape": c.known.shape, "values": _numbers(c.known.ravel())},
                "static": c.static.tolist(),
                "forecast": {"shape": self.values.shape, "values": _numbers(self.values.ravel())},
                "tolerance": self.tolerance,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Golden:
        body = json.loads(text)

        def array(key: str) -> Float64:
            return np.array(body[key]["values"], dtype=np.float64).reshape(body[key]["shape"])

        n = len(body["origins"])
        static = np.empty((n, len(body["static"][0])), dtype=object)
        static[:] = body["static"]
        origins = np.array(body["origins"], dtype="M8[us]")
        context = Context(origins, array("past"), array("known"), static, [OK] * n, [None] * n)
        return cls(context, array("forecast"), body["tolerance"])


def replay(pair: Pair, golden: Golden, device: str = CPU) -> None:
    """Forecast the golden batch again, on the device that the pair is on. Raises
    :class:`RefusedError` when an answer differs beyond the tolerance.
    """
    difference, limit = golden.difference(pair.answer(golden.context)), golden.allowed(device)
    if not difference <= limit:
        raise RefusedError(
            f"pair '{pair.schema.name}': the golden batch differs by {difference:.3g} "
            f"(relative), {limit:g} allowed on {device}: "
            "this environment does not answer as training did."
        )


def golden_of(directory: Path) -> Golden:
    """The golden batch that travels in the model's data directory."""
    path = directory / "golden.json"
    if not path.is_file():
        raise FrameworkError(f"{path} is missing; register the pair again.")
    return Golden.from_json(path.read_text())
