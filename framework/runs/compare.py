"""``run=compare``: what the arms of a server answered, beside each other, and beside the actual
values where they are known by now.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from framework.data.time import parse_time
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.monitoring.forecast_log import records_of
from framework.monitoring.served_accuracy import figures_by_arm, with_actuals
from framework.plugins.run import Run
from framework.runs.steps.tables import arms_table


def compare(run: Run) -> dict[str, Any]:
    """Reads the records of ``name`` from ``start`` (null: all). One entry for each arm, pair and
    target.

    ``forecasts``: different ones, by entity, origin and step. ``MAE`` and so on: on those whose
    actual value is known. ``common``: the same figures on what every arm forecast, which is fair to
    all; a shadow has much of it, shares of the entities have none.
    """
    config = run.config
    folder = records_of(config.paths.state, config.name)
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise DataError(
            f"there are no records in {folder}; serve with serving.records.share=100 first."
        )
    keys = list(config.features.entity_keys)
    columns = ["at", "arm", "version", *keys, "origin", TIME, "step", "target", "mean", "status"]
    table = pd.concat([pd.read_parquet(file, columns=columns) for file in files], ignore_index=True)
    if config.start:
        table = table[table["at"] >= parse_time(config.start, "start")]
    cell = [*keys, "origin", "step", "target"]
    latest = table.sort_values("at", kind="stable").drop_duplicates(
        ["arm", "version", *cell], keep="last"
    )
    arms = figures_by_arm(with_actuals(config, run.make("retrieval"), latest, keys), cell)
    run.say(arms_table(config.name, arms))
    return {"arms": arms, "records": len(table)}
