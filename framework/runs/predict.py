"""``run=predict``: forecasts of a registered pair to Parquet, from the rows that training reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from framework.errors import DataError
from framework.features import Features, parse_time, to_numpy
from framework.interfaces.registry import Registry
from framework.interfaces.values import OK, Forecast
from framework.loading import load_pair
from framework.run import Run


def predict(run: Run) -> dict[str, Any]:
    """One origin (``at``, default: each series' newest step), all series or ``predict.entities``."""
    config = run.config
    registry: Registry = run.make("registry")
    loaded = load_pair(registry, run.plugins, config.name, config.alias or config.predict.pair)
    schema = loaded.pair.schema
    panel = Features(config, run.make("retrieval")).panel()
    if panel.past_names != schema.past or panel.static_names != schema.static:
        which = f"{config.name} version {loaded.version.version}"
        raise DataError(f"pair {which} was trained on columns {schema.past}, the experiment gives {panel.past_names}; train again.")
    chosen = config.predict.entities
    entities = panel.entities if chosen is None else [tuple(e.get(k, "") for k in schema.entity_keys) for e in chosen]
    at = to_numpy(parse_time(config.at, "at")) if config.at else None
    table = forecast_table(loaded.pair.forecast(panel.context(schema, entities, at)), schema.entity_keys)
    output = config.predict.output or run.directory / "forecast.parquet"
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(output, index=False)
    failed = int((table["status"] != OK).sum())
    if failed:
        run.say(f"predict: {failed} of {len(entities)} series have no forecast; column status says why")
    pair = loaded.version
    return {"output": str(output), "rows": len(table), "pair": {"name": pair.name, "version": pair.version, "digest": pair.digest}}


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
