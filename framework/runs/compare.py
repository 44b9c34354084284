"""``run=compare``: what the arms of a server answered, beside each other, and beside the actual values where they are known by now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from framework.errors import DataError
from framework.features import Features, parse_time
from framework.interfaces.values import OK, TIME
from framework.metrics import point_metrics
from framework.run import Run
from framework.serving.records import records_of
from framework.tables import arms_table


def compare(run: Run) -> dict[str, Any]:
    """Reads the records of ``name`` from ``start`` (null: all). One entry for each arm, pair and target.

    ``forecasts``: different ones, by entity, origin and step. ``MAE`` and so on: on those whose actual value is known. ``common``: the
    same figures on what every arm forecast, which is fair to all; a shadow has much of it, shares of the entities have none.
    """
    config = run.config
    folder = records_of(config.paths.state, config.name)
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise DataError(f"there are no records in {folder}; serve with serving.records.share=100 first.")
    keys = list(config.features.entity_keys)
    columns = ["at", "arm", "version", *keys, "origin", TIME, "step", "target", "mean", "status"]
    table = pd.concat([pd.read_parquet(file, columns=columns) for file in files], ignore_index=True)
    if config.start:
        table = table[table["at"] >= parse_time(config.start, "start")]
    cell = [*keys, "origin", "step", "target"]
    latest = table.sort_values("at", kind="stable").drop_duplicates(["arm", "version", *cell], keep="last")
    arms = _figures(_with_actuals(run, latest, keys), cell)
    run.say(arms_table(config.name, arms))
    return {"arms": arms, "records": len(table)}


def _with_actuals(run: Run, table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The column ``actual``, NaN where the offline store has none."""
    retrieval = run.make("retrieval")
    if not retrieval.has_rows(run.config.features):
        return table.assign(actual=np.nan)
    panel = Features(run.config, retrieval).panel()
    targets = list(run.config.panel.targets)
    columns = panel.to_rows().set_index([*keys, TIME])[targets].rename_axis(columns="target")
    known = pd.Series(columns.stack(), name="actual").reset_index()  # a target may have any name, also "actual"
    return table.merge(known, "left", [*keys, TIME, "target"])


def _figures(table: pd.DataFrame, cell: Sequence[str]) -> list[dict[str, Any]]:
    pairs = table.groupby(["arm", "version"], sort=True)
    answered = table[table["status"] == OK]
    seen = answered.groupby(list(cell))["arm"].nunique()
    everywhere = seen[seen == table["arm"].nunique()].index
    common = answered[pd.MultiIndex.from_frame(answered[list(cell)]).isin(everywhere)]
    found = []
    for (arm, version), rows in pairs:
        for target, its in rows.groupby("target", sort=True):
            shared = common[(common["arm"] == arm) & (common["version"] == version) & (common["target"] == target)]
            ok = its[its["status"] == OK]
            head = {"arm": arm, "version": int(str(version)), "target": target, "failed": len(its) - len(ok)}
            found.append({**head, **_summary(ok), "common": _summary(shared)})
    return found


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """``forecasts``, their ``mean``, how many of them have ``actuals``, and the errors of those; no figure where there is nothing."""
    found: dict[str, Any] = {"forecasts": len(rows)}
    if len(rows):
        found["mean"] = float(rows["mean"].mean())
    actual, mean = (rows[name].to_numpy(np.float64) for name in ("actual", "mean"))
    found["actuals"] = int(np.isfinite(actual).sum())
    if found["actuals"]:
        figures = point_metrics(actual, mean, np.ones(len(actual)))
        found |= {name: figures[name] for name in ("MAE", "RMSE", "WAPE", "bias")}
    return found
