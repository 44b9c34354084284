"""How good served forecasts turned out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from framework.config.config import Config
from framework.data.panel import Panel
from framework.data.vocabulary import OK, TIME
from framework.evaluation.metrics import naive_scale, score
from framework.interfaces.retrieval import RetrievalStrategy
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
    columns = panel.to_rows().set_index([*keys, TIME])[targets].rename_axis(columns="target")
    known = pd.Series(
        columns.stack(), name="actual"
    ).reset_index()  # a target may have any name, also "actual"
    return _with_scale(config, panel, table.merge(known, "left", [*keys, TIME, "target"]), keys)


def _with_scale(
    config: Config, panel: Panel, table: pd.DataFrame, keys: Sequence[str]
) -> pd.DataFrame:
    targets = config.panel.targets
    first = table["origin"].min()
    if pd.isna(first):  # no arm answered
        return table.assign(scale=np.nan)
    history = panel.until(first.tz_convert(None).to_datetime64())
    if not len(history):
        return table.assign(scale=np.nan)
    values = naive_scale(history, len(targets), config.panel.season_length)
    series = history.series_of(table[list(keys)].to_numpy(dtype=object))
    scale = values[series, table["target"].map(list(targets).index).to_numpy()]
    return table.assign(scale=np.where(series >= 0, scale, np.nan))


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
    summary: dict[str, Any] = {"forecasts": len(rows)}
    if len(rows):
        summary["mean"] = float(rows["mean"].mean())
    actual, mean, scale = (rows[name].to_numpy(np.float64) for name in ("actual", "mean", "scale"))
    summary["actuals"] = int(np.isfinite(actual).sum())
    figures = score(actual, mean[:, None], scale)
    shown = ("MAE", "RMSE", "WAPE", "MASE", "bias")
    return summary | {name: figures[name] for name in shown if np.isfinite(figures[name])}
