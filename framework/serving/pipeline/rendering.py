"""Forecasts to JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from framework.data.forecast import Forecast
from framework.data.vocabulary import OK, SHORT_HISTORY
from framework.interfaces.registry import PairVersion

#: Times are in UTC without a zone and written with ``Z``, with a fraction of a second only where
#: there is one.
_UTC = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


class Renderer:
    """Writes ``{"pair": …, "forecasts": […]}``. Numbers are float64 in full: they read back bit for
    bit.
    """

    def __init__(self, version: PairVersion, alias: str | None, entity_keys: Sequence[str]) -> None:
        self.stamp = version.stamp(alias)
        self._head = b'{"pair":' + orjson.dumps(self.stamp) + b',"forecasts":'
        self._keys = tuple(entity_keys)

    def __call__(self, forecast: Forecast) -> bytes:
        return self._head + orjson.dumps(self.entries(forecast), option=_UTC) + b"}"

    def entries(self, forecast: Forecast) -> list[dict[str, Any]]:
        by_target = forecast.values.transpose(0, 2, 3, 1).tolist()  # [n][T][1 + Q][H]
        quantiles = [str(q) for q in forecast.quantiles]
        origins, times, which = _grouped(forecast)
        intervals = {
            level: ends.transpose(0, 2, 3, 1).tolist() for level, ends in forecast.intervals.items()
        }  # [n][T][2][H]
        fresh = forecast.freshness
        views = (
            []
            if fresh is None
            else [(v, t.tolist(), fresh.stale[v].tolist()) for v, t in fresh.times.items()]
        )
        entries = []
        for window, (entity, i, status, detail, targets) in enumerate(
            zip(
                forecast.entities.tolist(),
                which,
                forecast.status,
                forecast.detail,
                by_target,
                strict=True,
            )
        ):
            entry: dict[str, Any] = {
                "entity": dict(zip(self._keys, entity, strict=True)),
                "origin": origins[i],
                "status": status,
                "times": [],
                "targets": {},
            }
            if status == OK:
                entry["times"] = times[i]
                entry["targets"] = {
                    name: {
                        "mean": lines[0],
                        "quantiles": dict(zip(quantiles, lines[1:], strict=True)),
                    }
                    for name, lines in zip(forecast.targets, targets, strict=True)
                }
                for t, name in enumerate(forecast.targets if intervals else ()):
                    ends = {
                        level: dict(zip(("lower", "upper"), interval[window][t], strict=True))
                        for level, interval in intervals.items()
                    }
                    entry["targets"][name]["intervals"] = ends
            if forecast.cold is not None and forecast.cold[window]:
                entry["cold"] = True
            if forecast.short is not None and forecast.short[window]:
                entry[SHORT_HISTORY] = True
            if detail is not None or status != OK:
                entry["detail"] = detail
            if views:
                entry["features"] = {
                    v: {"event_timestamp": t[window], "stale": s[window]} for v, t, s in views
                }
            entries.append(entry)
        return entries


def render_mixed(parts: Sequence[tuple[Renderer, npt.NDArray[np.int64], Forecast]]) -> bytes:
    """Forecasts of several pairs in the order of the request, given the positions of each; every
    one names its pair.
    """
    placed = {}
    for render, index, forecast in parts:
        for i, entry in zip(index, render.entries(forecast), strict=True):
            placed[int(i)] = {"pair": render.stamp, **entry}
    return orjson.dumps(
        {"pair": None, "forecasts": [placed[i] for i in sorted(placed)]}, option=_UTC
    )


def _grouped(forecast: Forecast) -> tuple[list[Any], list[Any], Sequence[int]]:
    """Origins and times, and which of them belongs to each window: windows that share an origin
    share its times. NaT is None.
    """
    origins = forecast.origins
    if len(origins) == 1:
        return origins.tolist(), forecast.times.tolist(), (0,)
    distinct, first, which = np.unique(origins, return_index=True, return_inverse=True)
    return distinct.tolist(), forecast.times[first].tolist(), which.tolist()
