"""Rolling-origin backtest: refit at each origin on what was known there, forecast, compare with
what came.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import Literal

import numpy as np

from framework.config.sections import BacktestConfig
from framework.data.arrays import Float64, Objects, Times
from framework.data.context import Context
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.errors import ComponentError, DataError
from framework.evaluation.fold_rows import (
    FoldRows,
    FoldWindows,
    naive_scales,
    training_rows,
)
from framework.evaluation.folds import Fold, plan_folds
from framework.evaluation.result import BacktestResult, join_folds
from framework.features.views import FeatureSet
from framework.interfaces.compute import Compute
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.models.progress import fitting
from framework.pairs.defects import named, series_text
from framework.pairs.fit import fit_model, fit_preprocessor
from framework.pairs.pair import Pair
from framework.retrieval.stored_panel import stored_context

#: The most windows of a fold that are cut and forecast at a time.
PIECE = 10_000


@dataclass(frozen=True, slots=True)
class Setting:
    """The common part of all folds of a backtest. Can be pickled when ``make`` and
    ``make_baseline`` can.
    """

    panel: Panel
    schema: Schema
    make: Callable[[], tuple[Preprocessor, Model]]
    make_baseline: Callable[[], Model]
    season_length: int
    validation_steps: int
    seed: int
    new: Literal["forecast", "refuse"] = "forecast"
    features: FeatureSet | None = (
        None  # what a stored panel's windows are judged by; None for a panel of no store
    )
    since: datetime | None = None  # no fit learns from earlier rows

    def context(self, panel: Panel, entities: Objects, origins: Times) -> Context:
        """One window per entity, each with the status that production would give it."""
        if self.features is None:
            return panel.context(self.schema, entities, origins)
        return stored_context(panel, self.features, self.schema, entities, origins, None)


def run_backtest(
    setting: Setting,
    config: BacktestConfig,
    compute: Compute,
    progress: Callable[[Fold, int], None],
    origins: Times | None = None,
) -> BacktestResult:
    """Fit anew in every fold, wherever ``compute`` does it; judge the model beside the baseline on
    the same windows.

    Without ``config.refit`` one fit, that of the first fold, forecasts from every origin, here.
    ``origins``: instead of those that ``config`` plans.
    """
    folds = plan_folds(
        setting.panel.times,
        setting.panel.frequency,
        setting.schema.horizon,
        config,
        origins,
        setting.since,
    )
    check_actuals(setting, folds)
    if not config.refit:
        progress(folds[0], len(folds))
        fitted = fit_fold(setting, folds[0])
        return join_folds([forecast_windows(setting, fold, fitted) for fold in folds])
    results = _results(setting, folds, compute)
    parts = []
    for fold in folds:
        progress(fold, len(folds))
        parts.append(next(results))
    return join_folds(parts)


def _results(setting: Setting, folds: Sequence[Fold], compute: Compute) -> Iterator[BacktestResult]:
    """Fit and judge each fold, in order. Workers that do not share the memory of this process get
    what is cut out for them, and are told nothing of what came after their origins.
    """
    if compute.shares_memory:
        yield from compute.map(run_fold, setting, folds)
        return
    nothing = setting.panel.select(np.zeros(len(setting.panel), dtype=bool))
    works = ((fold, cut_fold(setting, fold)) for fold in folds)
    for result in compute.map(_run_rows, replace(setting, panel=nothing), works):
        actual = _actuals(setting.panel, setting.schema, result.entities, result.origins)
        yield replace(result, actual=actual)


def cut_fold(setting: Setting, fold: Fold) -> FoldRows:
    """Cut out what one fold needs."""
    panel = setting.panel.known_at(fold.origin)
    return FoldRows(
        training_rows(panel, fold.first, fold.cutoff),
        _scales(setting, fold),
        tuple(_windows(setting, fold, _naive_schema(setting, setting.make_baseline()))),
    )


def _run_rows(setting: Setting, work: tuple[Fold, FoldRows]) -> BacktestResult:
    """Do what :func:`run_fold` does, without the actuals."""
    (fold, rows), started = work, perf_counter()
    with _in_fold(fold):
        fitted = _fit(setting, fold, rows.train, rows.scales)
    result = _forecast(setting, fold, fitted, rows.windows)
    return replace(result, seconds=(perf_counter() - started,))


def check_actuals(setting: Setting, folds: Sequence[Fold]) -> None:
    """Raise :class:`DataError` when no fold has any actual to be judged on."""
    for fold in folds:
        entities, origins = setting.panel.known_at(fold.origin).origins_at(fold.origin)
        if np.isfinite(_actuals(setting.panel, setting.schema, entities, origins)).any():
            return
    times = setting.panel.times
    raise DataError(
        "backtest: nothing to judge: no series has a row at an origin from "
        f"{folds[0].origin} to {folds[-1].origin} and an actual in the "
        f"{setting.schema.horizon} steps after it; the actuals lie from {times.min()} to "
        f"{times.max()}: lower panel.horizon, or change "
        "backtest.folds and backtest.step."
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """The result of one fit: model and baseline, and the denominators of MASE and RMSSE by series,
    ``[2, T]`` each.
    """

    model: Pair
    baseline: Pair
    scales: dict[tuple[str, ...], Float64]


def run_fold(setting: Setting, fold: Fold) -> BacktestResult:
    """Fit on the rows of one fold and forecast from its origin."""
    started = perf_counter()
    result = forecast_windows(setting, fold, fit_fold(setting, fold))
    return replace(result, seconds=(perf_counter() - started,))


@contextmanager
def _in_fold(fold: Fold) -> Iterator[None]:
    """Say which fold a component failed in."""
    try:
        yield
    except (ComponentError, DataError) as error:
        raise type(error)(
            f"backtest: fold {fold.number + 1}, rows up to {fold.cutoff}: {error}"
        ) from error


def fit_fold(setting: Setting, fold: Fold) -> Fitted:
    """Fit model and baseline on the rows of one fold.

    Raises:
        ComponentError: One of them, or the preprocessor, fails.
    """
    with _in_fold(fold):
        panel = setting.panel.known_at(fold.origin)
        scales = _scales(setting, fold)
        return _fit(setting, fold, training_rows(panel, fold.first, fold.cutoff), scales)


def _fit(
    setting: Setting, fold: Fold, train: Panel, scales: dict[tuple[str, ...], Float64]
) -> Fitted:
    schema, seed = setting.schema, setting.seed
    preprocessor, model = setting.make()
    arrays = fit_preprocessor(train, schema, preprocessor)
    entities = train.entities
    del train  # half of the memory that is in use here
    with fitting(f"backtest: fold {fold.number + 1}"):
        fit_model(arrays, schema, model, setting.validation_steps, seed)
    naive = setting.make_baseline()
    naive_schema = _naive_schema(setting, naive)
    fit_model(arrays, naive_schema, naive, 0, seed)
    trained = frozenset(map(tuple, entities)) if setting.new == "refuse" else None
    return Fitted(
        Pair(schema, preprocessor, model, trained=trained),
        Pair(naive_schema, preprocessor, naive),
        scales,
    )


def _naive_schema(setting: Setting, naive: Model) -> Schema:
    season = setting.season_length
    return setting.schema.model_copy(
        update={
            "context_length": naive.context_length(season),
            "least_context": naive.least_context(season),
            "quantiles": (),
        }
    )


def _scales(setting: Setting, fold: Fold) -> dict[tuple[str, ...], Float64]:
    panel, targets = setting.panel.known_at(fold.origin), len(setting.schema.targets)
    return naive_scales(panel, fold.cutoff, targets, setting.season_length)


def _windows(setting: Setting, fold: Fold, naive_schema: Schema) -> Iterator[FoldWindows]:
    """Cut the windows of each series from its own step at the origin of ``fold``, :data:`PIECE` of
    them at a time, one piece at least.
    """
    panel = setting.panel.known_at(fold.origin)
    entities, origins = panel.origins_at(fold.origin)
    for start in range(0, max(1, len(entities)), PIECE):
        at = entities[start : start + PIECE], origins[start : start + PIECE]
        yield FoldWindows(*at, setting.context(panel, *at), panel.context(naive_schema, *at))


def forecast_windows(setting: Setting, fold: Fold, fitted: Fitted) -> BacktestResult:
    """Forecast from the origin of ``fold`` with what was fitted: each series from its own step
    there.
    """
    started = perf_counter()
    windows = _windows(setting, fold, fitted.baseline.schema)
    result = _forecast(setting, fold, fitted, windows)
    actual = _actuals(setting.panel, setting.schema, result.entities, result.origins)
    return replace(result, actual=actual, seconds=(perf_counter() - started,))


def _forecast(
    setting: Setting, fold: Fold, fitted: Fitted, windows: Iterable[FoldWindows]
) -> BacktestResult:
    """Forecast windows; what came after them is not known here."""
    parts = [_forecast_piece(setting, fold, fitted, piece) for piece in windows]
    return replace(join_folds(parts), notes=parts[0].notes, choices=parts[0].choices)


def _forecast_piece(
    setting: Setting, fold: Fold, fitted: Fitted, windows: FoldWindows
) -> BacktestResult:
    schema, model, entities = setting.schema, fitted.model.model, windows.entities
    suspects = (model, fitted.model.preprocessor, fitted.baseline.model, *model.parts)
    with (
        _in_fold(fold),
        named(
            f"forecast of {series_text(entities)}",
            *suspects,
            entities=entities,
            attempt=lambda series: fitted.model.forecast(windows.context.take(series)),
        ),
    ):
        with fitting(f"backtest: fold {fold.number + 1}, forecast"):
            forecast = fitted.model.forecast(windows.context)
        baseline = fitted.baseline.forecast(windows.baseline)
    unknown = np.full((2, len(schema.targets)), np.nan)
    scales = np.array([fitted.scales.get(tuple(entity), unknown) for entity in entities]).reshape(
        -1, 2, len(schema.targets)
    )
    return BacktestResult(
        schema=schema,
        fold=np.full(len(entities), fold.number),
        entities=entities,
        origins=forecast.origins,
        times=forecast.times,
        actual=np.full((*forecast.times.shape, len(schema.targets)), np.nan),
        forecast=forecast.values,
        baseline=baseline.values[..., 0],
        scale=scales[:, 0],
        square=scales[:, 1],
        seconds=(0.0,),
        notes=model.notes,
        choices=(choices,) if (choices := fitted.baseline.model.choices) else (),
        ruled=fitted.model.domain.ruled(windows.context.known) if schema.zero_when else None,
    )


def _actuals(panel: Panel, schema: Schema, entities: Objects, origins: Times) -> Float64:
    """``[n, H, T]``: what came after each origin, NaN where the panel does not say."""
    steps = panel.frequency.after(origins, schema.horizon)
    rows = panel.rows_at(panel.series_of(entities)[:, None], steps)
    return np.where(
        (rows >= 0)[..., None],
        panel.past[:, : len(schema.targets)].take(rows, axis=0, mode="clip"),
        np.nan,
    )
