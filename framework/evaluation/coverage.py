"""Interval coverage out of time: each origin's intervals use what was known there, as a
pair trained then would answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.pairs.adaptive_levels import PACE
from framework.pairs.domain import Domain
from framework.pairs.intervals import calibrate

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("target", "step", "origin", "level", "inside", "width", "score")


def forward_coverage(
    backtest: pd.DataFrame,
    schema: Schema,
    levels: Sequence[float],
    calibrated_on: int,
    first: int,
    pace: float = PACE,
    *,
    by_series: bool = True,
) -> pd.DataFrame:
    """Measure interval coverage out of time: the intervals at each origin use only what was known
    there, as a pair trained then would answer.

    ``score`` is Winkler's interval score (Gneiting & Raftery 2007, section 6.2), in the target's
    unit: the width, and 2 / (1 - level) times the distance of an actual outside. A level that the
    calibration has too few errors for is left out at that origin.

    Args:
        backtest: A backtest's long table
            (:meth:`framework.evaluation.result.BacktestResult.table`).
        schema: What the pair was trained on.
        levels: The levels of the intervals, in per cent.
        calibrated_on: On how many origins before it each origin is calibrated, on the steps of
            theirs that had come by then.
        first: The first origin that is judged, from 0.
        pace: How fast levels follow their misses.
        by_series: Whether difficulties follow the series' own errors.

    Returns:
        One row for each known actual and level: the entity keys, target, step, origin, level,
        inside, width, score.
    """
    import pandas as pd

    parts = [
        part
        for origin in _origins(backtest)[first:]
        for part in _of_origin(backtest, schema, levels, origin, calibrated_on, pace, by_series)
    ]
    if not parts:
        return pd.DataFrame(columns=[*schema.entity_keys, *COLUMNS])
    return pd.concat(parts, ignore_index=True)


def _origins(backtest: pd.DataFrame) -> list[pd.Timestamp]:
    return sorted(backtest["origin"].unique())


def _of_origin(
    backtest: pd.DataFrame,
    schema: Schema,
    levels: Sequence[float],
    origin: pd.Timestamp,
    calibrated_on: int,
    pace: float,
    by_series: bool,
) -> Iterator[pd.DataFrame]:
    import pandas as pd

    before = [o for o in _origins(backtest) if o < origin][-calibrated_on:]
    known = backtest[backtest["origin"].isin(before) & (backtest[TIME] <= origin)]
    calibration = calibrate(known, schema, pace, by_series=by_series) if len(known) else None
    if calibration is None:
        return
    rows = backtest[backtest["origin"] == origin]
    shape = (-1, schema.horizon, len(schema.targets))
    columns = ["mean", *(f"q{q:g}" for q in schema.quantiles)]
    values: Float64 = np.stack(
        [rows[c].to_numpy(dtype=np.float64).reshape(shape) for c in columns], axis=-1
    )
    entities = rows[list(schema.entity_keys)].to_numpy(dtype=object)[:: shape[1] * shape[2]]
    actual = rows["actual"].to_numpy(dtype=np.float64)
    is_known = np.isfinite(actual) & np.isfinite(rows["mean"].to_numpy(dtype=np.float64))
    domain = Domain(schema)
    if "ruled" in rows:
        is_known &= ~rows["ruled"].to_numpy(dtype=bool)
    for level in levels:
        if level > calibration.highest_level():
            continue
        ends = domain.settle(calibration.interval(values, entities, level), None)
        low, high = ends.reshape(-1, 2).T
        outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        frame = rows[[*schema.entity_keys, "target", "step", "origin"]].assign(
            level=level,
            inside=outside == 0,
            width=high - low,
            score=high - low + 2 / (1 - level / 100) * outside,
        )
        yield pd.DataFrame(frame[is_known])
