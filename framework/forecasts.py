"""Forecasts as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from framework.interfaces.values import OK, Forecast


def forecast_table(forecast: Forecast, entity_keys: tuple[str, ...]) -> pd.DataFrame:
    """Long: entity keys, origin, event_timestamp, step, target, mean, one column a quantile (q0.1 …), status.

    A series without a forecast keeps one row a target, with its status and nulls.
    """
    n, horizon, targets, _ = forecast.values.shape
    keep = np.ones((n, horizon, targets), dtype=bool)
    keep[[status != OK for status in forecast.status], 1:] = False
    flat = keep.ravel()

    def column(values: Any) -> Any:
        return np.broadcast_to(values, keep.shape).ravel()[flat]

    columns: dict[str, Any] = {key: column(forecast.entities[:, i, None, None]) for i, key in enumerate(entity_keys)}
    columns["origin"] = column(forecast.origins[:, None, None])
    columns["event_timestamp"] = column(forecast.times[:, :, None])
    columns["step"] = column(np.arange(1, horizon + 1)[None, :, None])
    columns["target"] = column(np.array(forecast.targets, dtype=object))
    for q, name in enumerate(["mean", *(f"q{q:g}" for q in forecast.quantiles)]):
        columns[name] = column(forecast.values[..., q])
    columns["status"] = column(np.array(forecast.status, dtype=object)[:, None, None])
    table = pd.DataFrame(columns)
    for name in ("origin", "event_timestamp"):
        table[name] = table[name].dt.tz_localize("UTC")
    return table
