"""``run=backtest``: figures and report; nothing is registered. With ``backtest.compare`` other models on the same windows too."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from framework.backtest import BacktestResult, Fold, make_setting
from framework.backtest import backtest as run_backtest
from framework.comparison import compare
from framework.components import Components
from framework.config import Config, Selected, default_node
from framework.evaluate import Evaluation, evaluate
from framework.plugins import Plugins
from framework.run import Run
from framework.series import check_covariates
from framework.tables import comparison_table
from framework.validated import validate


def backtest(run: Run) -> dict[str, Any]:
    evaluation = evaluate(run)
    if not run.config.backtest.compare:
        return evaluation.body
    return {**evaluation.body, "comparison": compare_models(run, evaluation)}


def compare_models(run: Run, evaluation: Evaluation) -> dict[str, list[dict[str, Any]]]:
    """``{target: [{model, rank, loss, …}]}``: this run's model, the baseline and ``backtest.compare``."""
    config, own = run.config, evaluation.result
    results = {config.component("model").name: own}
    results.setdefault(config.component("baseline").name, replace(own, forecast=_like(own, own.baseline[..., None])))
    for name in config.backtest.compare:
        if name not in results:
            results[name] = _other(with_model(config, name, run.plugins), run, evaluation)
    ranked = {target: compare(results, t) for t, target in enumerate(own.schema.targets)}
    run.say(comparison_table(own.schema, ranked))
    return {target: [line.as_dict() for line in lines] for target, lines in ranked.items()}


def _like(own: BacktestResult, mean: np.ndarray) -> np.ndarray:
    """Forecasts of a model without quantiles in the shape of one that has them."""
    return np.broadcast_to(mean, own.forecast.shape)


def _other(config: Config, run: Run, evaluation: Evaluation) -> BacktestResult:
    components = Components(config, run.plugins)
    model = components.make("model")
    changed: dict[str, Any] = {"context_length": model.context_length(config.panel.season_length)}
    if not model.supports_quantiles:
        changed["quantiles"] = ()
    setting = make_setting(components, evaluation.panel, evaluation.schema.model_copy(update=changed))
    name = config.component("model").name
    for line in check_covariates(setting.schema, model, name, config.panel.unused):
        run.say(line)

    def progress(fold: Fold, total: int) -> None:
        run.say(f"compare: model={name}: fold {fold.number + 1}/{total}")

    started = perf_counter()
    result = run_backtest(setting, config.backtest, run.make("compute"), progress)
    run.say(f"compare: model={name}: {perf_counter() - started:.1f} s")
    return result


def with_model(config: Config, name: str, plugins: Plugins) -> Config:
    """The same run with another model and its default options."""
    component = plugins.find("model", name)
    composed: Any = OmegaConf.to_container(OmegaConf.create(config.text))
    resolved: Any = OmegaConf.to_container(OmegaConf.create({**composed, "model": default_node(name, component.options)}), resolve=True)
    options = {key: value for key, value in resolved["model"].items() if key != "name"}
    selected = Selected(name=name, options=validate(component.options, options, f"backtest.compare: model={name}"))
    return config.model_copy(update={"components": {**config.components, "model": selected}})
