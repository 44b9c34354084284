"""The search of the declared space: faults first, then the trials, then the best configuration as
an experiment.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from framework.config.automatic import AUTO
from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.errors import ConfigError
from framework.evaluation.as_known import backtest_panel
from framework.evaluation.folds import plan_folds
from framework.interfaces.tuner import DONE, Budget, Dimension, Search, Trial, Tuner
from framework.options import step_numbers
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.options import TuneOptions
from framework.runs.steps.fit_size import tell_fit
from framework.runs.steps.prepare_data import fill_store
from framework.runs.steps.rehearsal import rehearse
from framework.runs.steps.row_memory import check_rows
from framework.runs.steps.tables import trials_table
from framework.tuning.experiment import (
    check_not_edited,
    experiment_text,
    sealed,
    write_experiment,
)
from framework.tuning.objective import BacktestObjective, Goal
from framework.tuning.space import check_space, parse_space, substitute, substituted
from framework.tuning.study import Study, open_study

#: Parts of a config that decide, with the space, what a trial's figure means; a search goes on only
#: where they are as they were.
_COMPARED = ("seed", "quantiles", "panel", "features", "backtest", "validation")
#: The config of a training, not of the search or of what else the run does.
TRAINED: dict[str, Any] = {"run": "train", "resume": False, "space": {}}


def check_search(run: Run) -> tuple[tuple[Dimension, ...], Goal]:
    """Read what a search is to do, before anything is read or fitted.

    Raises:
        ConfigError: The space, the goal or the model does not fit, or the experiment that would be
            written was edited.
    """
    config = run.config
    if config.component("model").name == AUTO:
        raise ConfigError(
            "model=auto: a search needs a model of its own; run=train model=auto writes one as an "
            "experiment, which run=tune can go on from."
        )
    options: TuneOptions = config.section("tune")
    dimensions = parse_space(options.space)
    check_space(dimensions, config.text, run.plugins)
    goal = Goal.of(
        options.metric, options.target, options.over, config.panel.targets, config.quantiles
    )
    check_not_edited(_output(config, options), "tune.output", "run=tune")
    return dimensions, goal


def search_best(run: Run, root: Path, *, resume: bool) -> dict[str, Any]:
    """Search for the best configuration and write it as an experiment. Faults are refused before
    the first trial.

    Args:
        run: Of a config with ``run=tune``.
        root: The folder of its searches.
        resume: Go on with the newest search there.

    Returns:
        ``best``, ``trials``, ``experiment``, ``interrupted``, ``warnings``.

    Raises:
        ConfigError: As :func:`check_search` does, and where another search would be resumed.
    """
    dimensions, goal = check_search(run)
    tuner: Tuner = run.make("tuner")
    with open_study(root, _searched(run.config, run.options), resume) as study:
        if study.resumed:
            run.say(f"tune: goes on after {study.resumed} trials in {study.directory}")
        is_finished = tuner.search(_search(run, dimensions, goal, study))
        return _conclude(run, study, goal, is_finished)


def _searched(config: Config, options: TuneOptions) -> dict[str, Any]:
    plain, choices = config.model_dump(mode="json"), options.model_dump(mode="json")
    parts: dict[str, Any] = {"space": choices["space"]} | {key: plain[key] for key in _COMPARED}
    parts |= {group: plain["components"][group] for group in ("source", "preprocessor", "model")}
    return parts | {f"tune.{key}": choices[key] for key in ("metric", "target", "over")}


def _search(run: Run, dimensions: tuple[Dimension, ...], goal: Goal, study: Study) -> Search:
    config = run.config
    widest = widest_config(config, dimensions, run.plugins)
    features = Features(widest, run.make("retrieval"))
    rehearse(widest, features, run.make("preprocessor"), run.make("model"))
    fill_store(run, features)
    check_rows(run, features, fits=True)
    panel = backtest_panel(features)
    folds = tuple(
        plan_folds(
            panel.times,
            panel.frequency,
            config.panel.horizon,
            config.backtest,
            since=config.panel.since,
        )
    )
    run.say(
        f"tune: {len(dimensions)} options, {goal.metric} of {goal.target} over {len(folds)} "
        f"folds, {len(panel):,} rows"
    )
    model = run.make("model")
    schema = features.schema(panel, model)
    tell_fit(run, config.component("model").name, panel, schema, model, run.make("preprocessor"))
    objective = BacktestObjective(
        config.text, panel, folds, goal, features.strategy.max_context_length, run.plugins
    )
    directory = run.directory / "search"
    directory.mkdir(exist_ok=True)

    def report(trial: Trial) -> None:
        study.add(trial)
        value = trial.error or (
            f"{trial.value:.6g}"
            if trial.value is not None
            else f"at {trial.folds[-1]:.6g} after {len(trial.folds)} folds"
        )
        run.say(
            f"trial {trial.number}: {trial.status} {value}; "
            f"{', '.join(f'{k}={v}' for k, v in trial.values.items())}"
        )
        text = OmegaConf.to_yaml(substitute(config.text, {**trial.values, **TRAINED}))
        run.plugins.hook.trial_finished(run=run, trial=trial, config=text)

    options: TuneOptions = run.options
    budget = Budget(options.trials, options.seconds, options.patience)
    return Search(
        dimensions, objective, budget, config.seed, tuple(study.trials), directory, report, run.say
    )


def widest_config(config: Config, dimensions: tuple[Dimension, ...], plugins: Plugins) -> Config:
    """Widen a config to what any trial may ask of the store and the columns."""
    return _with_all_columns(_with_all_lags(config, dimensions, plugins), dimensions)


def _with_all_lags(config: Config, dimensions: tuple[Dimension, ...], plugins: Plugins) -> Config:
    """The config whose views have the lag columns of every trial."""
    path = "model.seasonal_lags"
    choices = [step_numbers(c) for d in dimensions if d.path == path for c in d.choices]
    lags = sorted({lag for choice in choices for lag in choice})
    return substituted(config.text, {path: lags}, plugins) if lags else config


def _with_all_columns(config: Config, dimensions: tuple[Dimension, ...]) -> Config:
    """The config whose panel has every column that a trial may choose."""
    choices = [
        c
        for d in dimensions
        if d.path == "panel.columns"
        for c in (*d.choices, config.panel.columns)
    ]
    if not choices:
        return config
    every = (
        None
        if any(c is None for c in choices)
        else tuple(dict.fromkeys(column for choice in choices for column in choice))
    )
    return config.model_copy(update={"panel": config.panel.model_copy(update={"columns": every})})


def _output(config: Config, options: TuneOptions) -> Path:
    return options.output or Path("conf/experiment") / f"{config.name}_tuned.yaml"


def _conclude(run: Run, study: Study, goal: Goal, is_finished: bool) -> dict[str, Any]:
    """Table, plots, experiment file."""
    config, best = run.config, study.best()
    options: TuneOptions = run.options
    table = run.directory / "trials.csv"
    study.table().to_csv(table, index=False)
    counts = Counter(trial.status for trial in study.trials)
    output = _output(config, options)
    what = f"{goal.metric} of {goal.target} {best.value:.6g}, {options.over} of the folds"
    write_experiment(
        output,
        sealed(
            experiment_text(
                best.values,
                f"Trial {best.number}, the best of {len(study.trials)} of {config.name}: {what}.",
                [section.name for section in run.plugins.sections() if not section.decisive],
            )
        ),
    )
    run.record.artifacts += [table, output]
    plots = run.plugins.hook.search_finished(
        run=run, trials=study.trials, dimensions=parse_space(options.space)
    )
    run.record.artifacts += [path for paths in plots for path in paths or ()]
    run.record.metrics["best.value"] = float(best.value or 0.0)
    run.record.facts |= {
        "best": {"trial": best.number, "values": best.values},
        "trials": dict(counts),
        "search": str(study.directory),
    }
    run.say(trials_table(config.name, what, study.trials, best))
    return {
        "best": {"value": best.value, "params": best.values, "trial": best.number},
        "trials": {
            "count": len(study.trials),
            **{s: counts[s] for s in (DONE, "stopped", "failed")},
            "table": str(table),
        },
        "experiment": str(output),
        "interrupted": not is_finished,
        "warnings": run.record.facts.get("warnings", []),
    }
