"""The accuracy of served forecasts, arm by arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from framework.config.config import Config
from framework.data.vocabulary import OK, TIME
from framework.evaluation.metrics import score
from framework.interfaces.retrieval import RetrievalStrategy
from framework.monitoring.actuals import actuals_of, scales_of
from framework.retrieval.features import Features


def with_actuals(
    config: Config, retrieval: RetrievalStrategy, table: pd.DataFrame, keys: Sequence[str]
) -> pd.DataFrame:
    """Join forecasts with the actual values of the offline store.

    Args:
        config: Names targets, features and the season.
        retrieval: Reads the offline store.
        table: Long: keys, origin, event_timestamp (both UTC), target.
        keys: The key columns.

    Returns:
        ``table`` with the columns ``actual``, NaN where the store has none, and ``scale``, the
        denominator of MASE: one for each series, from the rows up to the first origin of ``table``,
        so that all arms are judged by the same; NaN where these are shorter than a season.
    """
    if not retrieval.has_rows(config.features):
        return table.assign(actual=np.nan, scale=np.nan)
    panel = Features(config, retrieval).panel()
    targets = list(config.panel.targets)
    entities = table[list(keys)].to_numpy(dtype=object)
    target = pd.Index(targets).get_indexer(pd.Index(table["target"]))
    times, origins = (
        table[name].dt.tz_convert(None).to_numpy(dtype="M8[us]") for name in (TIME, "origin")
    )
    series = panel.series_of(entities)
    actual, _ = actuals_of(panel, series, times, target, len(targets))
    scale = scales_of(
        panel,
        entities,
        np.arange(len(table)),
        origins,
        target,
        targets=len(targets),
        season_length=config.panel.season_length,
    )
    return table.assign(actual=actual, scale=scale)


def figures_by_arm(table: pd.DataFrame, cell: Sequence[str]) -> list[dict[str, Any]]:
    pairs = table.groupby(["arm", "version"], sort=True)
    answered = table[table["status"] == OK]
    arms_of_cell = answered.groupby(list(cell))["arm"].nunique()
    common_cells = arms_of_cell[arms_of_cell == table["arm"].nunique()].index
    common = answered[pd.MultiIndex.from_frame(answered[list(cell)]).isin(common_cells)]
    summaries = []
    for (arm, version), rows in pairs:
        for target, of_target in rows.groupby("target", sort=True):
            comparable = common[
                (common["arm"] == arm)
                & (common["version"] == version)
                & (common["target"] == target)
            ]
            ok = of_target[of_target["status"] == OK]
            head = {
                "arm": arm,
                "version": int(str(version)),
                "target": target,
                "failed": len(of_target) - len(ok),
            }
            summaries.append({**head, **_summary(ok), "common": _summary(comparable)})
    return summaries


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """``forecasts``, their ``mean``, how many of them have ``actuals``, and the errors of those; no
    figure where there is nothing.
    """
    summary: dict[str, Any] = {"forecasts": len(rows)}
    if len(rows):
        summary["mean"] = float(rows["mean"].mean())
    actual, mean, scale = (rows[name].to_numpy(np.float64) for name in ("actual", "mean", "scale"))
    summary["actuals"] = int(np.isfinite(actual).sum())
    figures = score(actual, mean[:, None], scale)
    names = ("MAE", "RMSE", "WAPE", "MASE", "bias")
    return summary | {name: figures[name] for name in names if np.isfinite(figures[name])}
