"""The rows of a ledger: one for each entity, step and target of the forecasts of a server."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from framework.data.buckets import BUCKETS, bucket_of
from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.forecast_table import forecast_arrow, plain
from framework.data.schema import Schema
from framework.data.vocabulary import OK
from framework.interfaces.ledger import FEATURES, LedgerOptions
from framework.interfaces.observer import ServedArm, ServedRequest


@dataclass(frozen=True, slots=True)
class ServedForecast:
    """An answer of one arm to one request; ``context`` is None where no features are kept."""

    arm: ServedArm
    forecast: Forecast
    request: ServedRequest
    context: Context | None


class LedgerRows:
    """``options``: which entities and columns are kept. ``name``: of the pairs."""

    def __init__(self, options: LedgerOptions, name: str) -> None:
        self._options = options
        self._salt, self._limit = f"records of {name}", round(options.share * BUCKETS / 100)

    def table(self, served: Iterable[ServedForecast]) -> pa.Table | None:
        """One table of many answers, None where nothing is kept; those of one pair are put
        together as arrays first.
        """
        alike: dict[tuple[object, ...], list[ServedForecast]] = {}
        for one in served:
            forecast = one.forecast
            key = (
                *(one.arm.name, one.arm.pair.digest, one.arm.shadow),
                *(forecast.values.shape[1:], forecast.levels),
            )
            alike.setdefault(key, []).append(one)
        tables = [table for group in alike.values() if len(table := self._of_pair(group))]
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def _of_pair(self, served: list[ServedForecast]) -> pa.Table:
        arm, forecasts = served[0].arm, [one.forecast for one in served]
        whole_forecast = Forecast(
            np.concatenate([f.origins for f in forecasts]),
            np.concatenate([f.times for f in forecasts]),
            np.concatenate([f.entities for f in forecasts]),
            np.concatenate([f.values for f in forecasts]),
            forecasts[0].targets,
            forecasts[0].quantiles,
            [status for f in forecasts for status in f.status],
            [None] * sum(len(f.status) for f in forecasts),
        )
        _, horizon, targets, _ = whole_forecast.values.shape
        answered = np.array([status == OK for status in whole_forecast.status], dtype=bool)
        lines = np.where(answered, horizon * targets, targets)
        window = np.repeat(np.arange(len(lines)), lines)
        request = np.repeat(np.arange(len(served)), [len(f.status) for f in forecasts])[window]
        head = {
            "at": pa.array([one.request.at for one in served], pa.timestamp("us", tz="UTC")),
            "request_id": pa.array([one.request.id for one in served], pa.string()),
        }
        table = forecast_arrow(whole_forecast, arm.schema.entity_keys)
        table = table.cast(plain(table.schema))
        columns = {name: column.take(pa.array(request)) for name, column in head.items()}
        constants = {
            "arm": pa.scalar(arm.name),
            "shadow": pa.scalar(arm.shadow),
            "version": pa.scalar(arm.pair.version, pa.int64()),
            "digest": pa.scalar(arm.pair.digest),
            "levels_version": pa.scalar(forecasts[0].levels, pa.int64()),
        }
        columns |= {name: pa.repeat(value, len(table)) for name, value in constants.items()}
        for name in table.column_names:
            columns[name] = table[name]
        stale = pa.array([views for f in forecasts for views in _stale(f)], pa.string())
        columns["stale"] = stale.take(pa.array(window))
        if self._options.features != "none":
            columns[FEATURES] = _on_first_lines(self._features(served), lines)
        for name in self._options.leave_out:
            del columns[name]
        for name in self._options.hashed:
            columns[name] = pa.array(
                [None if text is None else hashed(text) for text in columns[name].to_pylist()],
                pa.string(),
            )
        whole = pa.table(columns)
        return whole if self._limit >= BUCKETS else whole.filter(self._kept(whole_forecast)[window])

    def _features(self, served: Sequence[ServedForecast]) -> list[str | None]:
        write = _values if self._options.features == "values" else _digest
        return [
            None if status != OK else write(one.context, one.arm.schema, i)
            for one in served
            if one.context is not None
            for i, status in enumerate(one.context.status)
        ]

    def _kept(self, forecast: Forecast) -> np.ndarray:
        """Choose by entity, so that every arm and shadow keeps the same ones."""
        places = [bucket_of(self._salt, entity) for entity in forecast.entities.tolist()]
        return np.array(places) < self._limit


def hashed(text: str) -> str:
    """The first 32 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _on_first_lines(texts: list[str | None], lines: np.ndarray) -> pa.Array:
    """Each text on the first of its window's lines: once is enough."""
    places = np.full(int(lines.sum()), len(texts))
    places[np.cumsum(lines) - lines] = np.arange(len(texts))
    return pa.array([*texts, None], pa.string()).take(pa.array(places))


def _values(context: Context, schema: Schema, i: int) -> str:
    """The newest step of what was looked up or sent, as JSON; null for an unknown value."""
    numbers = dict(zip(schema.past, context.past[i, -1].tolist(), strict=True))
    texts = dict(zip(schema.static, context.static[i].tolist(), strict=True))
    values = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    return json.dumps({**values, **texts}, separators=(",", ":"))


def _digest(context: Context, _: Schema, i: int) -> str:
    """A digest of everything that the forecast was made from."""
    digest = hashlib.sha256(np.ascontiguousarray(context.past[i]).tobytes())
    digest.update(np.ascontiguousarray(context.known[i]).tobytes())
    digest.update(json.dumps(context.static[i].tolist()).encode())
    return digest.hexdigest()[:32]


def _stale(forecast: Forecast) -> list[str | None]:
    if forecast.freshness is None:
        return [None] * len(forecast.status)
    views = forecast.freshness.stale
    return [
        ",".join(view for view, old in views.items() if old[i]) or None
        for i in range(len(forecast.status))
    ]
