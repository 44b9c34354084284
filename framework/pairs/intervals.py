"""Prediction intervals for any model, from the errors of its own backtest.

Split conformal prediction with scores scaled by a difficulty (Lei et al. 2018; Angelopoulos & Bates
2023, section 2): an error is divided by what makes a window hard, and order statistics of the
quotients, for each target and step, are multiplied by the difficulty of the window that is asked.
The difficulty is the width between the model's outermost quantiles when it has some, else the
seasonal change of the series. It is multiplied by what the series' own errors say, and the interval
is moved to the side to which its forecasts err (:mod:`framework.pairs.own_errors`). Any level that
the number of errors supports can be asked; intervals of rising levels contain each other.

Errors of another season are not exchangeable with those to come, so the level itself is adapted
(Gibbs & Candes 2021, "Adaptive conformal inference under distribution shift"): origin by origin, an
interval is made from what was known there, and the share of misses in excess of the nominal one
raises the level that is used from then on. Long-run coverage tracks the nominal one whatever the
errors do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Objects
from framework.data.grouping import entities_of, series_numbers
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.pairs.adaptive_levels import (
    FOLLOWED,
    PACE,
    Scores,
    adapted_levels,
    highest_level,
    ranks,
)
from framework.pairs.own_errors import Windowed

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = "intervals.npz"

#: Order statistics that are kept for a target and step.
KEPT = 4096
#: Share of the typical difficulty that is added to each one: an easy window is not divided by
#: nothing.
FLOOR = 0.1
#: Errors that each step must have to be calibrated by itself, and errors of the typical size that
#: each is given when steps are pooled.
ENOUGH, SHRINKAGE = 100, 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """``scores[T, H, M]`` rising, NaN behind the last; ``counts[T, H]`` errors were behind them.
    Immutable.
    """

    scores: Float64
    counts: npt.NDArray[np.int64]
    # [T, levels of framework.pairs.adaptive_levels.FOLLOWED], the level that is used for each of
    # them, rising
    used: Float64
    floor: Float64  # [T]
    # the difficulty is the width of the model's quantiles, else that of the series
    by_quantiles: bool
    series: dict[tuple[str, ...], Float64]  # [T] of each series
    other: Float64  # [T], of a series that the backtest did not have
    #: [T], what the difficulty of each series is multiplied by; none in pairs of earlier versions.
    factors: dict[tuple[str, ...], Float64] = field(default_factory=dict)
    #: [T], how far the interval of each series lies from the forecast, in units of the difficulty
    #: before the factor; none in pairs of earlier versions.
    shifts: dict[tuple[str, ...], Float64] = field(default_factory=dict)
    #: Which version of the followed levels ``used`` is, 0 for the pair's own. It is not saved.
    version: int = 0

    def highest_level(self) -> float:
        """The highest level, in per cent, that every target and step has errors enough for; 0 when
        there are none.
        """
        return highest_level(int(self.counts.min()))

    def check(self, levels: Sequence[float]) -> None:
        """Raises :class:`DataError` for a level that is none or has too few errors behind it."""
        for level in levels:
            if not 0 < level < 100:
                raise DataError(f"level {level:g} is not between 0 and 100")
            if level > self.highest_level() + 1e-9:
                raise DataError(
                    f"level {level:g} needs more errors than the backtest gave "
                    f"({int(self.counts.min())} for a step), "
                    f"at most {self.highest_level():.1f} is possible"
                )

    def interval(self, values: Float64, entities: Objects, level: float) -> Float64:
        """``[n, H, T, 2]``, lower and upper, around forecasts ``values[n, H, T, 1 + Q]`` of the
        series ``entities[n, E]``.
        """
        self.check([level])
        unit = self._difficulty(values, entities) + self.floor
        difficulty = unit * _of(self.factors, entities, np.ones_like(self.floor))
        low, high = self._ends(level)
        mean = values[..., 0]
        if self.shifts:
            mean = mean + _of(self.shifts, entities, np.zeros_like(self.floor)) * unit
        return np.stack([mean + low.T * difficulty, mean + high.T * difficulty], axis=-1)

    def interval_of_steps(
        self,
        values: Float64,
        entities: Objects,
        series: npt.NDArray[np.int64],
        target: npt.NDArray[np.int64],
        step: npt.NDArray[np.int64],
        level: float,
    ) -> tuple[Float64, Float64]:
        """Make the intervals of single steps: what :meth:`interval` says of them.

        Args:
            values: ``[n, 1 + Q]``, forecasts.
            entities: ``[S, E]``, the series.
            series: ``[n]``, each forecast's series, a number of ``entities``.
            target: ``[n]``, the number of its target.
            step: ``[n]``, its step, from 1.
            level: In per cent.

        Returns:
            The lower and the upper ends, ``[n]`` each.

        Raises:
            DataError: The level is none, or has too few errors behind it.
        """
        self.check([level])
        if self.by_quantiles:
            difficulty = values[:, -1] - values[:, 1]
        else:
            difficulty = _of(self.series, entities, self.other)[series, 0, target]
        difficulty = difficulty + self.floor[target]
        mean = values[:, 0]
        if self.shifts:
            shifts = _of(self.shifts, entities, np.zeros_like(self.floor))
            mean = mean + shifts[series, 0, target] * difficulty
        if self.factors:
            factors = _of(self.factors, entities, np.ones_like(self.floor))
            difficulty = difficulty * factors[series, 0, target]
        low, high = (ends[target, step - 1] for ends in self._ends(level))
        return mean + low * difficulty, mean + high * difficulty

    def _difficulty(self, values: Float64, entities: Objects) -> Float64:
        if self.by_quantiles:
            return np.asarray(values[..., -1] - values[..., 1])
        return _of(self.series, entities, self.other)

    def _ends(self, level: float) -> tuple[Float64, Float64]:
        """``[T, H]`` each: the scores that a new one is between, at the level that is used for this
        one.
        """
        nominal = np.concatenate([[0.0], FOLLOWED, [100.0]])
        levels = np.array(
            [np.interp(level, nominal, [0.0, *adapted, 100.0]) for adapted in self.used]
        )
        counts = np.isfinite(self.scores).sum(axis=-1)
        thinning = (counts - 1) / np.maximum(self.counts - 1, 1)
        low, high = ranks(self.counts, levels[:, None])
        places = (np.floor(low * thinning + 1e-9), np.ceil(high * thinning - 1e-9))
        first, last = (
            np.take_along_axis(self.scores, place.astype(np.int64)[..., None], axis=-1)[..., 0]
            for place in places
        )
        return first, last

    def save(self, path: Path) -> None:
        keys = np.array(list(self.series), dtype=np.str_)
        widths = np.array(list(self.series.values()))
        np.savez(
            path,
            scores=self.scores,
            counts=self.counts,
            used=self.used,
            floor=self.floor,
            by_quantiles=np.array(self.by_quantiles),
            series=keys,
            widths=widths,
            other=self.other,
            factor_series=np.array(list(self.factors), dtype=np.str_),
            factors=np.array(list(self.factors.values())),
            shift_series=np.array(list(self.shifts), dtype=np.str_),
            shifts=np.array(list(self.shifts.values())),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as file:
            series = _by_series(file["series"], file["widths"])
            factors, shifts = (
                _by_series(file[f"{name}_series"], file[f"{name}s"]) if f"{name}s" in file else {}
                for name in ("factor", "shift")
            )
            return cls(
                file["scores"],
                file["counts"],
                file["used"],
                file["floor"],
                bool(file["by_quantiles"]),
                series,
                file["other"],
                factors,
                shifts,
            )


def _of(known: dict[tuple[str, ...], Float64], entities: Objects, otherwise: Float64) -> Float64:
    """``[n, 1, T]``: what is known of each series."""
    values = [known.get(tuple(map(str, entity)), otherwise) for entity in entities]
    return np.array(values).reshape(len(entities), 1, -1)


def _by_series(keys: npt.NDArray[np.str_], values: Float64) -> dict[tuple[str, ...], Float64]:
    return {tuple(str(k) for k in key): row for key, row in zip(keys, values, strict=True)}


def calibrate(
    backtest: pd.DataFrame, schema: Schema, pace: float = PACE, *, by_series: bool = True
) -> Calibration | None:
    """Calibrate on the long table of a backtest
    (:meth:`framework.evaluation.result.BacktestResult.table`).

    Steps whose actual or forecast is unknown are left out, and those whose forecast is a rule and
    not the model's. A target of which some step has few
    errors is calibrated on those of all steps, each in units of its step's typical error. ``pace``
    0 leaves the levels as they are; ``by_series=False`` leaves difficulties and forecasts as they
    are. None when a target has no error at all.
    """
    targets, horizon = len(schema.targets), schema.horizon
    outer = [f"q{q:g}" for q in (schema.quantiles[:1] + schema.quantiles[-1:])]
    by_quantiles = len(schema.quantiles) > 1
    table = backtest[~backtest["ruled"]] if "ruled" in backtest else backtest
    table = table.assign(
        difficulty=table[outer[1]] - table[outer[0]] if by_quantiles else table["scale"]
    )
    table = table[
        np.isfinite(table[["actual", "mean", "difficulty"]].to_numpy(dtype=np.float64)).all(axis=1)
    ]
    parts, levels, floor, other = [], [], np.zeros(targets), np.zeros(targets)
    (numbers,) = series_numbers(schema.entity_keys, table)
    names = [tuple(map(str, k)) for k in entities_of(schema.entity_keys, table).to_numpy()]
    widths, factors = np.full((len(names), targets), np.nan), np.ones((len(names), targets))
    shifts = np.zeros_like(factors)
    for t, target in enumerate(schema.targets):
        has_target = (table["target"] == target).to_numpy()
        of_target = table[has_target]
        if not len(of_target):
            return None
        other[t] = float(of_target["difficulty"].median())
        floor[t] = max(FLOOR * other[t], 1e-9)
        widths[:, t] = other[t]
        oldest_first = np.argsort(of_target["origin"].to_numpy(), kind="stable")
        newest = of_target["difficulty"].to_numpy()[oldest_first]
        widths[numbers[has_target][oldest_first], t] = newest  # the last one of each series stays
        scores = _scores(of_target, floor[t])
        if by_series:
            origin = np.unique(scores.origin, return_inverse=True)[1]
            own = Windowed.of(numbers[has_target], origin, len(names))
            factors[:, t], shifts[:, t], score = own.fit(scores.score, scores.step)
            scores = replace(scores, score=score)
        typical = _pooling(scores, horizon)
        if typical is not None:
            pooled = scores.score / typical[scores.step - 1]
            scores = replace(scores, score=pooled, step=np.ones_like(scores.step))
            parts.append([np.sort(pooled) * size for size in typical])
        else:
            parts.append(
                [np.sort(scores.score[scores.step == step]) for step in range(1, horizon + 1)]
            )
        levels.append(adapted_levels(scores, pace))
    counts = np.array([[len(row) for row in rows] for rows in parts])
    out = np.full((targets, horizon, min(int(counts.max()), KEPT)), np.nan)
    for t, rows in enumerate(parts):
        for h, row in enumerate(rows):
            is_kept = (
                row
                if len(row) <= KEPT
                else row[np.linspace(0, len(row) - 1, KEPT).round().astype(np.int64)]
            )
            out[t, h, : len(is_kept)] = is_kept
    known = {} if by_quantiles else dict(zip(names, widths, strict=True))
    fitted = Calibration(out, counts, np.array(levels), floor, by_quantiles, known, other)
    if (factors == 1).all() and not shifts.any():
        return fitted
    own_factors, own_shifts = (
        dict(zip(names, values, strict=True)) for values in (factors, shifts)
    )
    return replace(fitted, factors=own_factors, shifts=own_shifts)


def _scores(rows: pd.DataFrame, floor: float) -> Scores:
    score = (rows["actual"] - rows["mean"]) / (rows["difficulty"] + floor)
    origin, known = (
        rows[column].dt.tz_localize(None).to_numpy().astype("M8[us]") for column in ("origin", TIME)
    )
    return Scores(
        np.asarray(score, dtype=np.float64), rows["step"].to_numpy(dtype=np.int64), origin, known
    )


def _pooling(scores: Scores, horizon: int) -> Float64 | None:
    """``[H]``: each step's typical error beside that of all, drawn to 1 where few are known; None
    when every step has errors enough.
    """
    place, size = scores.step - 1, np.abs(scores.score)
    counts = np.bincount(place, minlength=horizon)
    if counts.min() >= ENOUGH:
        return None
    typical = max(float(size.mean()), 1e-12)
    sums = np.bincount(place, size, minlength=horizon)
    return np.asarray((sums / typical + SHRINKAGE) / (counts + SHRINKAGE))
