"""The promise of a pair: its backtest, and the 80 % interval of any of its forecasts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from framework.data.arrays import Float64
from framework.data.arrow_columns import moments
from framework.data.grouping import series_numbers
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.errors import FrameworkError, one_line
from framework.monitoring.served import Served, with_actuals
from framework.pairs.artifacts import BACKTEST
from framework.pairs.domain import Domain
from framework.pairs.followed_levels import FollowedLevels
from framework.pairs.intervals import INTERVALS, Calibration

#: The level of the interval that is watched, in per cent, and the share that is outside.
LEVEL, OUTSIDE = 80.0, 0.2


@dataclass(frozen=True, slots=True)
class Promise:
    """``backtest``: the pair's own, ``scale``: its denominators of MASE. ``calibration``: None for
    a pair without intervals. ``followed``: the levels that have followed since.
    """

    schema: Schema
    backtest: Served
    scale: Float64
    calibration: Calibration | None
    followed: FollowedLevels = field(default_factory=lambda: FollowedLevels(""))

    def own_ends(self, served: Served) -> tuple[Float64, Float64]:
        """:meth:`ends` with the pair's own levels, whichever it was served with: what drift and
        anomalies are judged by.
        """
        return self.ends(replace(served, levels=None))

    def ends(self, served: Served) -> tuple[Float64, Float64]:
        """The lower and upper end of the 80 % interval of each forecast, NaN where the pair has
        none: the pair's calibrated interval, else its own quantiles.
        """
        quantiles = list(self.schema.quantiles)
        if self.calibration is not None and self.calibration.highest_level() >= LEVEL:
            return self.ends_at(served, LEVEL)
        outer = [round(OUTSIDE / 2, 6), round(1 - OUTSIDE / 2, 6)]
        if all(q in quantiles for q in outer):
            low, high = (served.values[:, 1 + quantiles.index(q)] for q in outer)
            return low, high
        unknown = np.full(len(served), np.nan)
        return unknown, unknown

    def ends_at(self, served: Served, level: float) -> tuple[Float64, Float64]:
        """The ends of the calibrated interval of a level, with the levels that each forecast was
        served with; NaN where those are unknown.
        """
        assert self.calibration is not None
        versions = np.zeros(len(served), dtype=np.int32) if served.levels is None else served.levels
        low, high = np.full((2, len(served)), np.nan)
        domain = Domain(self.schema)
        for version in np.unique(versions).tolist():
            if version and version not in self.followed.versions:
                continue
            rows = versions == version
            of_version = served.where(rows)
            ends = self.followed.of(self.calibration, version).interval_of_steps(
                of_version.values,
                of_version.entities,
                of_version.series,
                of_version.target,
                of_version.step,
                level,
            )
            low[rows], high[rows] = (domain.settle_steps(end, of_version.target) for end in ends)
        return low, high

    def median(self, served: Served) -> Float64:
        """The median of each forecast; the mean where the model gives no median."""
        quantiles = list(self.schema.quantiles)
        return served.values[:, 1 + quantiles.index(0.5) if 0.5 in quantiles else 0]


def with_before(promise: Promise, panel: Panel) -> Promise:
    """Take the actuals of the steps before from the offline store: a backtest of one step has none
    of its own.
    """
    before = with_actuals(promise.backtest, panel, len(promise.schema.targets)).before
    return replace(promise, backtest=replace(promise.backtest, before=before))


def read_promise(model: Path) -> Promise:
    """Read what a pair promised from the files of its model.

    Args:
        model: The folder of the model's half, proven.

    Raises:
        FrameworkError: There is no backtest with the pair, or it cannot be read.
    """
    schema = Schema.model_validate_json((model / "schema.json").read_text())
    path = model / BACKTEST
    if not path.is_file():
        raise FrameworkError("there is no backtest with this pair.")
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise FrameworkError(
            f"the backtest of this pair cannot be read: {one_line(error)}"
        ) from error
    keys = table.select(list(schema.entity_keys)).to_pandas()
    (series,) = series_numbers(schema.entity_keys, keys)
    _, first = np.unique(series, return_index=True)
    columns = ["mean", *(f"q{q:g}" for q in schema.quantiles)]
    actual = np.asarray(table["actual"].to_numpy(), dtype=np.float64)
    steps = table["step"].to_numpy().astype(np.int64)
    names = np.asarray(table["target"].to_pandas(), dtype=object)
    target = np.array([schema.targets.index(name) for name in schema.targets])
    places = np.select([names == name for name in schema.targets], target.tolist(), -1)
    served = Served(
        keys.to_numpy(dtype=object)[first].astype(str).astype(object),
        series.astype(np.int64),
        moments(table["origin"]),
        moments(table[TIME]),
        steps,
        places.astype(np.int64),
        np.stack([np.asarray(table[c].to_numpy(), dtype=np.float64) for c in columns], axis=1),
        actual,
        _before(series, table, places, steps, actual),
    )
    intervals = model / INTERVALS
    calibration = Calibration.load(intervals) if intervals.is_file() else None
    scale = np.asarray(table["scale"].to_numpy(), dtype=np.float64)
    return Promise(schema, served, scale, calibration)


def _before(
    series: np.ndarray, table: object, target: np.ndarray, step: np.ndarray, actual: Float64
) -> Float64:
    """The actual of the step before within the same window; NaN at its first step."""
    origin = moments(table["origin"]).astype(np.int64)  # type: ignore[index]
    order = np.lexsort((step, target, origin, series))
    same = np.zeros(len(order), dtype=bool)
    following, previous = order[1:], order[:-1]
    same[1:] = (
        (series[following] == series[previous])
        & (origin[following] == origin[previous])
        & (target[following] == target[previous])
        & (step[following] == step[previous] + 1)
    )
    before = np.full(len(order), np.nan)
    before[order[same]] = actual[order[np.flatnonzero(same) - 1]]
    return before
