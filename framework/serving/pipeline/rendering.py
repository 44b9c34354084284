"""Forecasts to JSON.

Numbers are written by array and put into a template of a window's text: objects for each of them
would take longer than the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from framework.data.arrays import Objects
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
        self.stamp = orjson.dumps(version.stamp(alias))
        self._keys = tuple(entity_keys)

    def __call__(self, forecast: Forecast) -> bytes:
        entries = b",".join(self.entries(forecast))
        return b'{"pair":%b,"forecasts":[%b]}' % (self.stamp, entries)

    def entries(self, forecast: Forecast) -> list[bytes]:
        """Write the object of each window."""
        origins, times, which = _grouped(forecast)
        keys, numbers = _keys(forecast.entities), _numbers(forecast)
        template = _template(
            self._keys, forecast.targets, forecast.quantiles, tuple(forecast.intervals)
        )
        n, names = len(which), len(self._keys)
        each, entries = len(numbers) // n, []
        for window, (i, status, more) in enumerate(
            zip(which, forecast.status, _more(forecast), strict=True)
        ):
            entity = keys[window * names : (window + 1) * names]
            lines = numbers[window * each : (window + 1) * each]
            entries.append(
                template.forecast % (*entity, origins[i], times[i], *lines, more)
                if status == OK
                else template.none % (*entity, origins[i], orjson.dumps(status), more)
            )
        return entries


def render_mixed(parts: Sequence[tuple[Renderer, npt.NDArray[np.int64], Forecast]]) -> bytes:
    """Forecasts of several pairs in the order of the request, given the positions of each; every
    one names its pair.
    """
    placed = {}
    for render, index, forecast in parts:
        for i, entry in zip(index, render.entries(forecast), strict=True):
            placed[int(i)] = b'{"pair":%b,%b' % (render.stamp, entry[1:])
    return b'{"pair":null,"forecasts":[%b]}' % b",".join(placed[i] for i in sorted(placed))


def _keys(entities: Objects) -> list[bytes]:
    """Write the keys of all windows, one after the other, as JSON has them between quotes. Such a
    text has no quote that is not escaped, so that it ends where the next one begins.
    """
    return orjson.dumps(entities.ravel().tolist())[2:-2].split(b'","')


def _numbers(forecast: Forecast) -> list[bytes]:
    """Write the steps of each line of each target of each window, one after the other."""
    values, ends = forecast.values, forecast.intervals.values()
    if ends:
        values = np.concatenate([values, *ends], axis=3)
    steps = values.shape[1]
    lines = np.ascontiguousarray(values.transpose(0, 2, 3, 1), dtype=np.float64).reshape(-1, steps)
    return orjson.dumps(lines, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")


class _Template(NamedTuple):
    """The object of a window with a forecast, and of one without, with places for its texts."""

    forecast: bytes
    none: bytes


@lru_cache(64)
def _template(
    keys: tuple[str, ...],
    targets: tuple[str, ...],
    quantiles: tuple[float, ...],
    levels: tuple[str, ...],
) -> _Template:
    def names(texts: Iterable[str]) -> list[bytes]:
        return [orjson.dumps(text).replace(b"%", b"%%") for text in texts]

    lines = b",".join(b"%b:[%%b]" % quantile for quantile in names(map(str, quantiles)))
    target = b'"mean":[%%b],"quantiles":{%b}' % lines
    if levels:
        ends = (b'%b:{"lower":[%%b],"upper":[%%b]}' % level for level in names(levels))
        target += b',"intervals":{%b}' % b",".join(ends)
    target = b",".join(b"%b:{%b}" % (name, target) for name in names(targets))
    entity = b",".join(b'%b:"%%b"' % name for name in names(keys))
    head = b'{"entity":{%b},"origin":%%b,"status":' % entity
    return _Template(
        b'%b"ok","times":%%b,"targets":{%b}%%b}' % (head, target),
        b'%b%%b,"times":[],"targets":{}%%b}' % head,
    )


def _more(forecast: Forecast) -> list[bytes]:
    """Write what the object of each window has after its targets."""
    n, fresh = len(forecast.status), forecast.freshness
    flags = [
        (name, flag)
        for name, flag in (("cold", forecast.cold), (SHORT_HISTORY, forecast.short))
        if flag is not None and flag.any()
    ]
    plain = forecast.status.count(OK) == n and forecast.detail.count(None) == n
    if plain and fresh is None and not flags:
        return [b""] * n
    views = (
        []
        if fresh is None
        else [(v, t.tolist(), fresh.stale[v].tolist()) for v, t in fresh.times.items()]
    )
    texts = []
    for window, (status, detail) in enumerate(zip(forecast.status, forecast.detail, strict=True)):
        entry: dict[str, Any] = {name: True for name, flag in flags if flag[window]}
        if detail is not None or status != OK:
            entry["detail"] = detail
        if views:
            entry["features"] = {
                v: {"event_timestamp": t[window], "stale": s[window]} for v, t, s in views
            }
        texts.append(b"," + orjson.dumps(entry, option=_UTC)[1:-1] if entry else b"")
    return texts


def _grouped(forecast: Forecast) -> tuple[list[bytes], list[bytes], Sequence[int]]:
    """Write origins and times, and say which of them belongs to each window: windows that share an
    origin share its times. NaT is null.
    """
    origins, times = forecast.origins, forecast.times
    which: Sequence[int] = [0] * len(origins)
    if (origins == origins[0]).all():
        origins, times = origins[:1], times[:1]
    else:
        origins, first, place = np.unique(origins, return_index=True, return_inverse=True)
        times, which = times[first], place.tolist()
    return _written(origins), _written(times), which


def _written(times: npt.NDArray[np.datetime64]) -> list[bytes]:
    return [orjson.dumps(time, option=_UTC) for time in times.tolist()]
