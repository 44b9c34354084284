"""Compares a model with a naive forecast that nobody named as its baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from framework.config.sections import BacktestConfig
from framework.data.vocabulary import OK
from framework.data.windows import PanelArrays, Windows
from framework.errors import ComponentError, DataError
from framework.evaluation.backtest import Setting
from framework.evaluation.folds import Fold, plan_folds
from framework.evaluation.result import BacktestResult, in_brackets
from framework.interfaces.model import Model
from framework.pairs.domain import Domain
from framework.pairs.fit import fit_model


def lost_to_naive(
    result: BacktestResult,
    setting: Setting,
    config: BacktestConfig,
    make: Callable[[], Model],
    model: str,
    naive: str,
) -> list[str]:
    """Name the targets of which a naive forecast has a smaller mean absolute error than the model,
    while the baseline has not.

    Args:
        result: The backtest.
        setting: Its setting.
        config: Its origins.
        make: Makes the naive model, which reads the targets alone.
        model: The name of the model's component.
        naive: The name of the naive one's.

    Returns:
        One line for each target; none where the naive forecast cannot be made of these data.
    """
    folds = plan_folds(
        setting.panel.times,
        setting.panel.frequency,
        result.schema.horizon,
        config,
        since=setting.since,
    )
    try:
        other = _forecasts(result, setting, folds, config.refit, make)
    except (ComponentError, DataError):
        return []
    choices = other.baseline_choices()
    lines = []
    for target, sides in result.metrics().items():
        beside = other.metrics()[target]
        own, best = beside["model"]["MAE"], beside["baseline"]["MAE"]
        if best < own and sides["model"]["MAE"] <= sides["baseline"]["MAE"]:
            lines.append(
                f"backtest: '{target}': {naive}{in_brackets(choices.get(target, {}))} beats "
                f"model={model}, which beats only the baseline: MAE {best:.6g} against {own:.6g}; "
                f"try model=auto, or judge the model by baseline={naive}"
            )
    return lines


def _forecasts(
    result: BacktestResult,
    setting: Setting,
    folds: list[Fold],
    refit: bool,
    make: Callable[[], Model],
) -> BacktestResult:
    """Put the naive forecast in the place of the baseline."""
    forecast = np.full_like(result.baseline, np.nan)
    model = make()
    choices: list[tuple[str, ...]] = []
    schema = setting.schema.model_copy(
        update={
            "context_length": model.context_length(setting.season_length),
            "least_context": model.least_context(setting.season_length),
            "quantiles": (),
        }
    )
    for fold in folds:
        panel = setting.panel.known_at(fold.origin)
        if refit or fold is folds[0]:
            model = make()
            train = panel.targets_alone(len(schema.targets)).between(fold.first, fold.cutoff)
            empty = np.zeros((len(train), 0), np.float32)
            arrays = PanelArrays(
                train.offsets,
                train.entities,
                train.times,
                train.past,
                empty,
                empty,
                empty,
                (),
                scratch=train.scratch,
            )
            fit_model(arrays, schema, model, 0, setting.seed)
        choices.append(model.choices)
        rows = np.flatnonzero(result.fold == fold.number)
        context = panel.context(schema, result.entities[rows], result.origins[rows])
        usable = np.array([status == OK for status in context.status], dtype=bool)
        if usable.any():
            past = context.past[usable][:, :, : len(schema.targets)]
            n, length, _ = past.shape
            none = np.zeros((n, length, 0), np.float32)
            ahead = np.zeros((n, schema.horizon, 0), np.float32)
            values = model.predict(Windows(past, none, ahead, ahead[:, 0]))
            settled = Domain(schema).settle(values, context.known[usable])
            forecast[rows[usable]] = settled[..., 0]
    return replace(result, baseline=forecast, choices=tuple(filter(None, choices)))
