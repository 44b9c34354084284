"""How good served forecasts turned out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from framework.config.config import Config
from framework.data.vocabulary import OK, TIME
from framework.evaluation.metrics import point_metrics
from framework.interfaces.retrieval import RetrievalStrategy
from framework.retrieval.features import Features


def with_actuals(
    config: Config, retrieval: RetrievalStrategy, table: pd.DataFrame, keys: Sequence[str]
) -> pd.DataFrame:
    """Add the column ``actual``, NaN where the offline store has none."""
    if not retrieval.has_rows(config.features):
        return table.assign(actual=np.nan)
    panel = Features(config, retrieval).panel()
    targets = list(config.panel.targets)
    columns = panel.to_rows().set_index([*keys, TIME])[targets].rename_axis(columns="target")
    known = pd.Series(
        columns.stack(), name="actual"
    ).reset_index()  # a target may have any name, also "actual"
    return table.merge(known, "left", [*keys, TIME, "target"])


def figures_by_arm(table: pd.DataFrame, cell: Sequence[str]) -> list[dict[str, Any]]:
    pairs = table.groupby(["arm", "version"], sort=True)
    answered = table[table["status"] == OK]
    seen = answered.groupby(list(cell))["arm"].nunique()
    everywhere = seen[seen == table["arm"].nunique()].index
    common = answered[pd.MultiIndex.from_frame(answered[list(cell)]).isin(everywhere)]
    summaries = []
    for (arm, version), rows in pairs:
        for target, its in rows.groupby("target", sort=True):
            shared = common[
                (common["arm"] == arm)
                & (common["version"] == version)
                & (common["target"] == target)
            ]
            ok = its[its["status"] == OK]
            head = {
                "arm": arm,
                "version": int(str(version)),
                "target": target,
                "failed": len(its) - len(ok),
            }
            summaries.append({**head, **_summary(ok), "common": _summary(shared)})
    return summaries


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """``forecasts``, their ``mean``, how many of them have ``actuals``, and the errors of those; no
    figure where there is nothing.
    """
    found: dict[str, Any] = {"forecasts": len(rows)}
    if len(rows):
        found["mean"] = float(rows["mean"].mean())
    actual, mean = (rows[name].to_numpy(np.float64) for name in ("actual", "mean"))
    found["actuals"] = int(np.isfinite(actual).sum())
    if found["actuals"]:
        figures = point_metrics(actual, mean, np.ones(len(actual)))
        found |= {name: figures[name] for name in ("MAE", "RMSE", "WAPE", "bias")}
    return found
