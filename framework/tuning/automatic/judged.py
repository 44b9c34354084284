"""Measures the errors of judged set-ups, and tells chance from what is clear."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from framework.data.arrays import Flags
from framework.errors import DataError
from framework.evaluation.result import BacktestResult
from framework.tuning.automatic.setups import Setup


@dataclass(frozen=True, slots=True)
class Judged:
    """A set-up. ``value``: the geometric mean over targets of its scaled errors; ``error``: why it
    has none.
    """

    setup: Setup
    value: float | None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        setup = self.setup
        return {
            "setup": setup.name,
            "model": setup.model,
            "why": setup.why,
            "value": None if self.value is None else float(f"{self.value:.6g}"),
            "options": setup.options,
            **({} if self.error is None else {"error": self.error}),
        }


def in_order(one: Judged) -> tuple[bool, float]:
    """The key that sorts judged set-ups, the best first, those without a value last."""
    return one.value is None, one.value or 0.0


def clearly_better(one: BacktestResult, other: BacktestResult, windows: Flags | None) -> bool:
    """Say whether the error of ``one`` is smaller by a standard error of the difference over
    origins, at least. From one origin any smaller error is clear.
    """
    in_window = np.ones(len(one.fold), dtype=bool) if windows is None else windows
    gains = []
    for fold in np.unique(one.fold[in_window]):
        at_fold = in_window & (one.fold == fold)
        try:
            gains.append(scaled_error(other, at_fold) - scaled_error(one, at_fold))
        except DataError:
            continue  # an origin without any actual says nothing
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return bool(np.mean(gains) >= error)


def answered_by_all(results: Iterable[BacktestResult]) -> Flags | None:
    """The windows that every result has a forecast of, the results without any left aside; None for
    all windows.
    """
    windows: Flags | None = None
    for result in results:
        answered: Flags = _answered(result)
        if windows is not None:
            answered = windows & answered
        if answered.any():
            windows = answered
    return windows


def _answered(result: BacktestResult) -> Flags:
    return np.asarray(np.isfinite(result.forecast[..., 0]).all(axis=(1, 2)))


def scaled_error(result: BacktestResult, windows: Flags | None) -> float:
    """The geometric mean over targets of MASE, or of WAPE where no series is long enough for it, so
    that each target counts as much as another.

    Raises:
        DataError: Nothing was judged, or one of ``windows`` has no forecast.
    """
    answered = _answered(result)
    in_window = np.ones(len(answered), dtype=bool) if windows is None else windows
    if (in_window & ~answered).any():
        raise DataError(
            f"{(in_window & ~answered).sum()} of {in_window.sum()} windows have too short a "
            "history for it"
        )
    model_only = replace(result, baseline=result.forecast[..., 0])  # metrics wants both to answer
    figures = [sides["model"] for sides in model_only.metrics(in_window).values()]
    values = [f["MASE"] if np.isfinite(f["MASE"]) else f["WAPE"] for f in figures]
    known = [value for value in values if np.isfinite(value)]
    if not known:
        raise DataError("no actual to judge it by")
    return float(np.exp(np.mean(np.log(np.maximum(known, 1e-9)))))
