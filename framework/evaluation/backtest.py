"""Rolling-origin backtest: refit at each origin on what was known there, forecast, compare with
what came.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import Literal

import numpy as np

from framework.config.sections import BacktestConfig
from framework.data.arrays import Float64, Objects, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.time import to_numpy
from framework.errors import ComponentError, ConfigError, DataError
from framework.evaluation.metrics import naive_scale, naive_square
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


@dataclass(frozen=True, slots=True)
class Fold:
    """Fit on the rows from ``first`` to ``cutoff``; forecast from ``origin``. All inclusive."""

    number: int
    first: np.datetime64
    cutoff: np.datetime64
    origin: np.datetime64


def holdout_origins(
    times: Times, frequency: Frequency, horizon: int, config: BacktestConfig
) -> Times:
    """The origins of ``backtest.holdout``, oldest first; the last is ``horizon`` steps before the
    panel's last step.
    """
    back = horizon + np.arange(config.holdout - 1, -1, -1) * (config.step or horizon)
    return frequency.shift(np.full(config.holdout, times.max()), -back)


def plan_folds(
    times: Times,
    frequency: Frequency,
    horizon: int,
    config: BacktestConfig,
    origins: Times | None = None,
    since: datetime | None = None,
) -> list[Fold]:
    """The folds, oldest first. The last origin is ``horizon`` steps before the panel's last step,
    or before the first origin of a hold-out, unless the ``origins`` are given. No fit learns from
    rows before ``since``.

    Raises :class:`ConfigError` when a fold would have nothing to learn from.
    """
    step, start = config.step or horizon, times.min()
    if since is not None:
        start = max(start, to_numpy(since))
    if origins is None:
        kept_apart = holdout_origins(times, frequency, horizon, config)
        end = kept_apart[0] if len(kept_apart) else times.max()
        back = horizon + np.arange(config.folds - 1, -1, -1) * step
        origins = frequency.shift(np.full(config.folds, end), -back)
    folds = []
    for number, origin in enumerate(origins):
        cutoff = frequency.shift(np.array([origin]), -config.gap)[0]
        first = start
        if config.window == "sliding" and config.window_length is not None:
            first = max(start, frequency.shift(np.array([cutoff]), 1 - config.window_length)[0])
        if cutoff <= start:
            raise ConfigError(
                f"backtest: fold {number + 1} of {len(origins)} would learn from rows up to "
                f"{cutoff}, the {'data' if since is None else 'rows since panel.since'} "
                f"begin {start}: "
                f"horizon {horizon}, step {step} and gap {config.gap} are longer than the "
                "data; lower backtest.folds or panel.horizon."
            )
        folds.append(Fold(number, first, cutoff, origin))
    return folds


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
    results = compute.map(run_fold, setting, folds)
    parts = []
    for fold in folds:
        progress(fold, len(folds))
        parts.append(next(results))
    return join_folds(parts)


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
        return _fit_fold(setting, fold)


def _fit_fold(setting: Setting, fold: Fold) -> Fitted:
    panel, schema, seed = setting.panel.known_at(fold.origin), setting.schema, setting.seed
    scales = _scales(panel, fold, len(schema.targets), setting.season_length)
    train = panel.between(fold.first, fold.cutoff)
    preprocessor, model = setting.make()
    arrays = fit_preprocessor(train, schema, preprocessor)
    entities = train.entities
    del train  # half of the memory that is in use here
    with fitting(f"backtest: fold {fold.number + 1}"):
        fit_model(arrays, schema, model, setting.validation_steps, seed)
    naive = setting.make_baseline()
    season = setting.season_length
    naive_schema = schema.model_copy(
        update={
            "context_length": naive.context_length(season),
            "least_context": naive.least_context(season),
            "quantiles": (),
        }
    )
    fit_model(arrays, naive_schema, naive, 0, seed)
    trained = frozenset(map(tuple, entities)) if setting.new == "refuse" else None
    return Fitted(
        Pair(schema, preprocessor, model, trained=trained),
        Pair(naive_schema, preprocessor, naive),
        scales,
    )


def _scales(
    panel: Panel, fold: Fold, targets: int, season_length: int
) -> dict[tuple[str, ...], Float64]:
    """Measure the naive forecasts of each series up to the cutoff, however few of these rows a fit
    learns from.
    """
    scales: dict[tuple[str, ...], Float64] = {}
    for piece in panel.targets_alone(targets).pieces():
        history = piece.until(fold.cutoff)
        if len(history):
            values = [naive_scale(history, targets, season_length), naive_square(history, targets)]
            scales |= zip(map(tuple, history.entities), np.stack(values, axis=1), strict=True)
    return scales


def forecast_windows(setting: Setting, fold: Fold, fitted: Fitted) -> BacktestResult:
    """Forecast from the origin of ``fold`` with what was fitted: each series from its own step
    there.
    """
    started = perf_counter()
    panel, schema = setting.panel.known_at(fold.origin), setting.schema
    entities, origins = panel.origins_at(fold.origin)
    model = fitted.model.model
    suspects = (model, fitted.model.preprocessor, fitted.baseline.model, *model.parts)
    context = setting.context(panel, entities, origins)
    naive_context = panel.context(fitted.baseline.schema, entities, origins)
    with (
        _in_fold(fold),
        named(
            f"forecast of {series_text(entities)}",
            *suspects,
            entities=entities,
            attempt=lambda series: fitted.model.forecast(context.take(series)),
        ),
    ):
        with fitting(f"backtest: fold {fold.number + 1}, forecast"):
            forecast = fitted.model.forecast(context)
        baseline = fitted.baseline.forecast(naive_context)
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
        actual=_actuals(setting.panel, schema, entities, origins),
        forecast=forecast.values,
        baseline=baseline.values[..., 0],
        scale=scales[:, 0],
        square=scales[:, 1],
        seconds=(perf_counter() - started,),
        notes=model.notes,
        choices=(choices,) if (choices := fitted.baseline.model.choices) else (),
        ruled=fitted.model.domain.ruled(context.known) if schema.zero_when else None,
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
