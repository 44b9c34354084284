"""The result of a backtest: windows, forecasts, actuals, and the figures made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.arrays import Flags, Float64, Objects, Rows, Times
from framework.data.grouping import entity_numbers
from framework.data.schema import Schema
from framework.evaluation.metrics import score

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """N windows (series x origin) over all folds. NaN where an actual is unknown or a history was
    too short to forecast.
    """

    schema: Schema
    fold: Rows  # [N]
    entities: Objects  # [N, E] str
    origins: Times  # [N]
    times: Times  # [N, H]
    actual: Float64  # [N, H, T]
    forecast: Float64  # [N, H, T, 1 + Q]
    baseline: Float64  # [N, H, T]
    scale: Float64  # [N, T], denominators of MASE
    square: Float64  # [N, T], denominators of RMSSE
    seconds: tuple[float, ...]  # of each fold
    #: [N, H], whether targets are 0 there by a known state; None where no rule is declared.
    ruled: Flags | None = None
    #: What was doubtful in the fits.
    notes: tuple[str, ...] = ()
    #: By fold the forecast that the baseline took for each target; none where it has no choice.
    choices: tuple[tuple[str, ...], ...] = ()

    def metrics(
        self, where: np.ndarray | None = None, step: int | None = None
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Judge model and baseline by :func:`framework.evaluation.metrics.score`, on the same
        elements: those that both have forecast.

        Args:
            where: The windows that count, as flags ``[N]`` or numbers; None: all.
            step: The step that counts, from 0; None: all.

        Returns:
            ``{target: {"model": {MAE, …}, "baseline": {…}}}``.
        """
        rows = slice(None) if where is None else where
        steps = slice(None) if step is None else slice(step, step + 1)
        series = entity_numbers(self.entities)[rows, None]
        out: dict[str, dict[str, dict[str, float]]] = {}
        for t, target in enumerate(self.schema.targets):
            model, baseline = self.forecast[rows, steps, t], self.baseline[rows, steps, t, None]
            is_known = np.isfinite(model[..., 0]) & np.isfinite(baseline[..., 0])
            actual = np.where(is_known, self.actual[rows, steps, t], np.nan)
            scale, square = self.scale[rows, None, t], self.square[rows, None, t]
            out[target] = {
                who: score(actual, forecast, scale, quantiles, square=square, series=series)
                for who, forecast, quantiles in (
                    ("model", model, self.schema.quantiles),
                    ("baseline", baseline, ()),
                )
            }
        return out

    def baseline_choices(self) -> dict[str, dict[str, int]]:
        """Count the folds in which the baseline took each of its forecasts.

        Returns:
            ``{target: {"seasonal_naive_7": 3, …}}``, the most frequent first; empty where the
            baseline has no choice.
        """
        if not self.choices:
            return {}
        return {
            target: dict(Counter(fold[t] for fold in self.choices).most_common())
            for t, target in enumerate(self.schema.targets)
        }

    def table(self) -> pd.DataFrame:
        """Make a long table, one row for each window, step and target.

        Returns:
            The columns entity keys, fold, origin and event_timestamp (UTC), step (from 1), target,
            actual, baseline, scale, square, mean, and one for each quantile (``q0.1`` …); ruled,
            where ``panel.zero_when`` declares a rule.
        """
        import pandas as pd

        n, horizon, targets = self.actual.shape
        shape = (n, horizon, targets)
        columns: dict[str, np.ndarray] = {
            key: np.broadcast_to(self.entities[:, i, None, None], shape).ravel()
            for i, key in enumerate(self.schema.entity_keys)
        }
        columns["fold"] = np.broadcast_to(self.fold[:, None, None], shape).ravel()
        columns["origin"] = np.broadcast_to(self.origins[:, None, None], shape).ravel()
        columns["event_timestamp"] = np.broadcast_to(self.times[:, :, None], shape).ravel()
        columns["step"] = np.broadcast_to(np.arange(1, horizon + 1)[None, :, None], shape).ravel()
        columns["target"] = np.broadcast_to(
            np.array(self.schema.targets, dtype=object), shape
        ).ravel()
        columns["actual"], columns["baseline"] = self.actual.ravel(), self.baseline.ravel()
        columns["scale"] = np.broadcast_to(self.scale[:, None, :], shape).ravel()
        columns["square"] = np.broadcast_to(self.square[:, None, :], shape).ravel()
        for q, name in enumerate(["mean", *(f"q{q:g}" for q in self.schema.quantiles)]):
            columns[name] = self.forecast[..., q].ravel()
        if self.ruled is not None:
            columns["ruled"] = np.broadcast_to(self.ruled[:, :, None], shape).ravel()
        frame = pd.DataFrame(columns)
        for column in ("origin", "event_timestamp"):
            frame[column] = frame[column].dt.tz_localize("UTC")
        return frame


def in_brackets(counts: Mapping[str, int]) -> str:
    """Put what a baseline took behind its name.

    Args:
        counts: The folds of each forecast.

    Returns:
        :func:`spoken_choice` in brackets after a space; empty without a choice.
    """
    return f" ({spoken_choice(counts)})" if counts else ""


def spoken_choice(counts: Mapping[str, int]) -> str:
    """Name what a baseline took for a target.

    Args:
        counts: The folds of each forecast, as :meth:`BacktestResult.baseline_choices` has them.

    Returns:
        The name of the only one; of several with their folds; empty without any.
    """
    if len(counts) < 2:
        return next(iter(counts), "")
    (first, folds), *others = counts.items()
    most = f"{first} in {folds} of {sum(counts.values())} folds"
    return ", ".join([most, *(f"{name} in {count}" for name, count in others)])


def join_folds(parts: Sequence[BacktestResult]) -> BacktestResult:
    """Join results into one.

    Args:
        parts: The results of folds, of one schema.

    Returns:
        Their windows, in the order of ``parts``.
    """
    arrays: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(BacktestResult)
        if field.name not in ("schema", "seconds", "notes", "choices")
        and getattr(parts[0], field.name) is not None
    }
    return BacktestResult(
        schema=parts[0].schema,
        seconds=tuple(part.seconds[0] for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        choices=tuple(fold for part in parts for fold in part.choices),
        **arrays,
    )
