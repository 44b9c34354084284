"""``run=predict``: forecasts of a registered pair to Parquet, from the rows that training reads."""

from __future__ import annotations

from typing import Any

from framework.errors import DataError
from framework.features import Features, parse_time, to_numpy
from framework.forecasts import forecast_table
from framework.interfaces.registry import Registry
from framework.interfaces.values import OK
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
