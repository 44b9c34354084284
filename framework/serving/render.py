"""Forecasts to JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from framework.interfaces.values import OK, Forecast, PairVersion
from framework.serving.times import format_times


class Renderer:
    """Writes ``{"pair": …, "forecasts": […]}``. Numbers are float64 in full: they read back bit for bit."""

    def __init__(self, version: PairVersion, alias: str | None, entity_keys: Sequence[str]) -> None:
        self._head = b'{"pair":' + orjson.dumps(version.stamp(alias)) + b',"forecasts":'
        self._keys = tuple(entity_keys)

    def __call__(self, forecast: Forecast) -> bytes:
        return self._head + orjson.dumps(self._entries(forecast)) + b"}"

    def _entries(self, forecast: Forecast) -> list[dict[str, Any]]:
        by_target = np.ascontiguousarray(forecast.values.transpose(0, 2, 3, 1)).tolist()  # [n][T][1 + Q][H]
        quantiles = [str(q) for q in forecast.quantiles]
        # Windows of one request mostly share their origins: each is written once.
        origins, which = np.unique(forecast.origins, return_index=True, return_inverse=True)[1:] if len(by_target) > 1 else ([0], [0])
        starts, steps = format_times(forecast.origins[origins]), format_times(forecast.times[origins])
        entries = []
        for entity, i, status, detail, targets in zip(
            forecast.entities.tolist(), which, forecast.status, forecast.detail, by_target, strict=True
        ):
            entry: dict[str, Any] = {
                "entity": dict(zip(self._keys, entity, strict=True)),
                "origin": None if starts[i].startswith("NaT") else starts[i],
                "status": status,
                "times": [],
                "targets": {},
            }
            if status == OK:
                entry["times"] = steps[i]
                entry["targets"] = {
                    name: {"mean": lines[0], "quantiles": dict(zip(quantiles, lines[1:], strict=True))}
                    for name, lines in zip(forecast.targets, targets, strict=True)
                }
            else:
                entry["detail"] = detail
            entries.append(entry)
        return entries
