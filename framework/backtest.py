"""Rolling-origin backtest: refit at each origin on what was known there, forecast, compare with what came.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from framework.components import Components
from framework.config import BacktestConfig
from framework.errors import ConfigError, DataError
from framework.fit import fit_model, fit_preprocessor
from framework.frequency import Frequency
from framework.interfaces.compute import Compute
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.values import Context, Float64, Objects, Schema, Times
from framework.interfaces.views import FeatureSet
from framework.interfaces.windows import Rows
from framework.metrics import naive_scale, point_metrics, quantile_metrics, rmsse
from framework.pair import Pair
from framework.panel import Panel
from framework.stored_panel import stored_context

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Fold:
    """Fit on the rows from ``first`` to ``cutoff``; forecast from ``origin``. All inclusive."""

    number: int
    first: np.datetime64
    cutoff: np.datetime64
    origin: np.datetime64


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """N windows (series x origin) over all folds. NaN where an actual is unknown or a history was too short to forecast."""

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

    def metrics(self, where: np.ndarray | None = None, step: int | None = None) -> dict[str, dict[str, dict[str, float]]]:
        """``{target: {"model": {MAE, …}, "baseline": {…}}}`` over the windows ``where`` and one ``step`` (0-based) or all.

        Model and baseline are judged on the same elements: those both have forecast.
        """
        rows = slice(None) if where is None else where
        steps = slice(None) if step is None else slice(step, step + 1)
        out: dict[str, dict[str, dict[str, float]]] = {}
        for t, target in enumerate(self.schema.targets):
            model, base = self.forecast[rows, steps, t, 0], self.baseline[rows, steps, t]
            actual = np.where(np.isfinite(model) & np.isfinite(base), self.actual[rows, steps, t], np.nan)
            scale = self.scale[rows, None, t]
            square = self.square[rows, None, t]
            out[target] = {
                who: {**point_metrics(actual, found, scale), "RMSSE": rmsse(actual, found, square)}
                for who, found in (("model", model), ("baseline", base))
            }
            if self.schema.quantiles:
                out[target]["model"] |= quantile_metrics(actual, self.forecast[rows, steps, t, 1:], self.schema.quantiles)
        return out

    def table(self) -> pd.DataFrame:
        """Long: entity keys, fold, origin, event_timestamp, step, target, actual, baseline, scale, mean, one column a quantile (q0.1 …)."""
        import pandas as pd

        n, horizon, targets = self.actual.shape
        shape = (n, horizon, targets)
        columns: dict[str, np.ndarray] = {
            key: np.broadcast_to(self.entities[:, i, None, None], shape).ravel() for i, key in enumerate(self.schema.entity_keys)
        }
        columns["fold"] = np.broadcast_to(self.fold[:, None, None], shape).ravel()
        columns["origin"] = np.broadcast_to(self.origins[:, None, None], shape).ravel()
        columns["event_timestamp"] = np.broadcast_to(self.times[:, :, None], shape).ravel()
        columns["step"] = np.broadcast_to(np.arange(1, horizon + 1)[None, :, None], shape).ravel()
        columns["target"] = np.broadcast_to(np.array(self.schema.targets, dtype=object), shape).ravel()
        columns["actual"], columns["baseline"] = self.actual.ravel(), self.baseline.ravel()
        columns["scale"] = np.broadcast_to(self.scale[:, None, :], shape).ravel()
        for q, name in enumerate(["mean", *(f"q{q:g}" for q in self.schema.quantiles)]):
            columns[name] = self.forecast[..., q].ravel()
        frame = pd.DataFrame(columns)
        for column in ("origin", "event_timestamp"):
            frame[column] = frame[column].dt.tz_localize("UTC")
        return frame


def plan_folds(times: Times, frequency: Frequency, horizon: int, config: BacktestConfig, origins: Times | None = None) -> list[Fold]:
    """The folds, oldest first. The last origin is ``horizon`` steps before the panel's last step, unless the ``origins`` are given.

    Raises :class:`ConfigError` when a fold would have nothing to learn from.
    """
    step, start = config.step or horizon, times.min()
    if origins is None:
        back = horizon + np.arange(config.folds - 1, -1, -1) * step
        origins = frequency.shift(np.full(config.folds, times.max()), -back)
    folds = []
    for number, origin in enumerate(origins):
        cutoff = frequency.shift(np.array([origin]), -config.gap)[0]
        first = start
        if config.window == "sliding" and config.window_length is not None:
            first = max(start, frequency.shift(np.array([cutoff]), 1 - config.window_length)[0])
        if cutoff <= start:
            raise ConfigError(
                f"backtest: fold {number + 1} of {len(origins)} would learn from rows up to {cutoff}, the data begin {start}: "
                f"horizon {horizon}, step {step} and gap {config.gap} are longer than the data; lower backtest.folds or panel.horizon."
            )
        folds.append(Fold(number, first, cutoff, origin))
    return folds


@dataclass(frozen=True, slots=True)
class Setting:
    """What the folds of one backtest share. Can be pickled when ``make`` and ``make_baseline`` can."""

    panel: Panel
    schema: Schema
    make: Callable[[], tuple[Preprocessor, Model]]
    make_baseline: Callable[[], Model]
    season_length: int
    validation_steps: int
    seed: int
    new: Literal["forecast", "refuse"] = "forecast"
    features: FeatureSet | None = None  # what a stored panel's windows are judged by; None for a panel of no store

    def context(self, panel: Panel, entities: Objects, origins: Times) -> Context:
        """One window per entity, each with the status that production would give it."""
        if self.features is None:
            return panel.context(self.schema, entities, origins)
        return stored_context(panel, self.features, self.schema, entities, origins, None)


def make_setting(components: Components, panel: Panel, schema: Schema) -> Setting:
    """What every fold of this config's backtest is fitted and judged with."""
    config = components.config
    season, steps = config.panel.season_length, config.validation.steps
    return Setting(
        panel,
        schema,
        components.pair,
        components.baseline,
        season,
        steps,
        config.seed,
        config.panel.new,
        config.features,
    )


def backtest(
    setting: Setting,
    config: BacktestConfig,
    compute: Compute,
    progress: Callable[[Fold, int], None],
    origins: Times | None = None,
) -> BacktestResult:
    """Fit anew in every fold, wherever ``compute`` does it; judge the model beside the baseline on the same windows.

    Without ``config.refit`` one fit, that of the first fold, forecasts from every origin, here. ``origins``: instead of those that
    ``config`` plans.
    """
    folds = plan_folds(setting.panel.times, setting.panel.frequency, setting.schema.horizon, config, origins)
    check_actuals(setting, folds)
    if not config.refit:
        progress(folds[0], len(folds))
        fitted = fit_fold(setting, folds[0])
        return join_folds([judge(setting, fold, fitted) for fold in folds])
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
        f"backtest: nothing to judge: no series has a row at an origin from {folds[0].origin} to {folds[-1].origin} and an actual in the "
        f"{setting.schema.horizon} steps after it; the actuals lie from {times.min()} to {times.max()}: lower panel.horizon, or change "
        "backtest.folds and backtest.step."
    )


def join_folds(parts: Sequence[BacktestResult]) -> BacktestResult:
    """One result of several, in the order given."""
    arrays: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(BacktestResult)
        if field.name not in ("schema", "seconds")
    }
    return BacktestResult(schema=parts[0].schema, seconds=tuple(part.seconds[0] for part in parts), **arrays)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What one fit gave: model and baseline, and the denominators of MASE and RMSSE by series, ``[2, T]`` each."""

    model: Pair
    baseline: Pair
    scales: dict[tuple[str, ...], Float64]


def run_fold(setting: Setting, fold: Fold) -> BacktestResult:
    """Fit on the rows of one fold and forecast from its origin."""
    started = perf_counter()
    result = judge(setting, fold, fit_fold(setting, fold))
    return replace(result, seconds=(perf_counter() - started,))


def fit_fold(setting: Setting, fold: Fold) -> Fitted:
    """Fit model and baseline on the rows of one fold."""
    panel, schema, seed = setting.panel.known_at(fold.origin), setting.schema, setting.seed
    train = panel.between(fold.first, fold.cutoff)
    preprocessor, model = setting.make()
    arrays = fit_preprocessor(train, schema, preprocessor)
    fit_model(arrays, schema, model, setting.validation_steps, seed)
    naive = setting.make_baseline()
    naive_schema = schema.model_copy(update={"context_length": naive.context_length(setting.season_length), "quantiles": ()})
    fit_model(arrays, naive_schema, naive, 0, seed)
    both = np.stack([naive_scale(train, len(schema.targets), setting.season_length, power) for power in (1, 2)], axis=1)
    scales = dict(zip(map(tuple, train.entities), both, strict=True))
    trained = frozenset(scales) if setting.new == "refuse" else None
    return Fitted(Pair(schema, preprocessor, model, trained=trained), Pair(naive_schema, preprocessor, naive), scales)


def judge(setting: Setting, fold: Fold, fitted: Fitted) -> BacktestResult:
    """Forecast from the origin of ``fold`` with what was fitted: each series from its own step there."""
    started = perf_counter()
    panel, schema = setting.panel.known_at(fold.origin), setting.schema
    entities, origins = panel.origins_at(fold.origin)
    forecast = fitted.model.forecast(setting.context(panel, entities, origins))
    baseline = fitted.baseline.forecast(panel.context(fitted.baseline.schema, entities, origins))
    unknown = np.full((2, len(schema.targets)), np.nan)
    scales = np.array([fitted.scales.get(tuple(entity), unknown) for entity in entities]).reshape(-1, 2, len(schema.targets))
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
    )


def _actuals(panel: Panel, schema: Schema, entities: Objects, origins: Times) -> Float64:
    """``[n, H, T]``: what came after each origin, NaN where the panel does not say."""
    steps = panel.frequency.after(origins, schema.horizon)
    rows = panel.rows_at(panel.series_of(entities)[:, None], steps)
    return np.where((rows >= 0)[..., None], panel.past[:, : len(schema.targets)].take(rows, axis=0, mode="clip"), np.nan)
