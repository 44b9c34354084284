"""``run=backtest``: figures and report; nothing is registered. With ``backtest.compare`` other
models on the same windows too.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.config.groups import default_node
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.errors import ConfigError, DataError
from framework.evaluation.backtest import run_backtest
from framework.evaluation.comparison import Ranked, rank_models
from framework.evaluation.eligibility import check_covariates
from framework.evaluation.folds import Fold
from framework.evaluation.result import BacktestResult
from framework.plugins.components import Components, make_setting
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.automatic import settled
from framework.runs.steps.evaluate import evaluate
from framework.runs.steps.rehearsal import check_reading, rehearse, rehearse_own
from framework.runs.steps.tables import comparison_table


def check(run: Run) -> None:
    """Rehearse the experiment with its own model and with each of ``backtest.compare``.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: One of them cannot work.
    """
    rehearse_own(run)
    for name in run.config.backtest.compare:
        _rehearse_other(run, name)
    check_reading(run)


def backtest(run: Run) -> dict[str, Any]:
    run, choice, read = settled(run)
    if not run.config.backtest.compare:
        return {**evaluate(run, panel=read).body, **choice}
    body = {**evaluate(run, compare_models, read).body, **choice}
    run.say(comparison_table(run.config.name, run.record.comparison))
    return {
        **body,
        "comparison": {
            target: [line.as_dict() for line in lines]
            for target, lines in run.record.comparison.items()
        },
    }


def _rehearse_other(run: Run, name: str) -> None:
    """Find what is wrong with another model before this run's own is judged."""
    config = with_model(run.config, name, run.plugins)
    components = Components(config, run.plugins)
    features = Features(config, components.make("retrieval"))
    try:
        rehearse(config, features, components.make("preprocessor"), components.make("model"))
    except ConfigError as error:
        raise ConfigError(f"backtest.compare: model={name}: {error}") from error


def compare_models(run: Run, panel: Panel, own: BacktestResult) -> dict[str, list[Ranked]]:
    """By target this run's model, the baseline and those of ``backtest.compare``; the forecasts of
    each of these in a table of its own.
    """
    config = run.config
    results = {config.component("model").name: own}
    results.setdefault(
        config.component("baseline").name,
        replace(own, forecast=_like(own, own.baseline[..., None])),
    )
    for name in config.backtest.compare:
        if name not in results:
            results[name] = _other(with_model(config, name, run.plugins), run, panel, own.schema)
            table = run.directory / f"backtest-{name}.parquet"
            results[name].table().to_parquet(table, index=False)
            run.record.artifacts.append(table)
    return {target: rank_models(results, t) for t, target in enumerate(own.schema.targets)}


def _like(own: BacktestResult, mean: np.ndarray) -> np.ndarray:
    """Forecasts of a model without quantiles in the shape of one that has them."""
    return np.broadcast_to(mean, own.forecast.shape)


def _other(config: Config, run: Run, panel: Panel, schema: Schema) -> BacktestResult:
    components = Components(config, run.plugins)
    model = components.make("model")
    season = config.panel.season_length
    changed: dict[str, Any] = {
        "context_length": model.context_length(season),
        "least_context": model.least_context(season),
    }
    if not model.supports_quantiles:
        changed["quantiles"] = ()
    setting = make_setting(components, panel, schema.model_copy(update=changed))
    name = config.component("model").name
    for line in check_covariates(setting.schema, model, name, config.panel.unused):
        run.say(line)

    def progress(fold: Fold, total: int) -> None:
        run.say(f"compare: model={name}: fold {fold.number + 1}/{total}")

    started = perf_counter()
    try:
        result = run_backtest(setting, config.backtest, run.make("compute"), progress)
    except DataError as error:
        raise DataError(f"backtest.compare: model={name}: {error}") from error
    run.say(f"compare: model={name}: {perf_counter() - started:.1f} s")
    return result


def with_model(config: Config, name: str, plugins: Plugins) -> Config:
    """The same run with another model and its default options."""
    component = plugins.find("model", name)
    tree = OmegaConf.create(config.text)
    assert isinstance(tree, DictConfig)
    tree["model"] = default_node(name, component.options)
    try:
        return build_config(tree, plugins)
    except ConfigError as error:
        raise ConfigError(f"backtest.compare: model={name}: {error}") from error
