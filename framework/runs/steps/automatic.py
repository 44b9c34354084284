"""``model=auto``: choose a set-up for a run, say why, and write it as an experiment of plain
keys.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from framework.config.automatic import AUTO, seasons
from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.time import to_numpy
from framework.errors import ConfigError
from framework.evaluation.as_known import backtest_panel
from framework.evaluation.backtest import plan_folds
from framework.evaluation.eligibility import take_part
from framework.interfaces.plugin import Automatic
from framework.plugins.components import Components
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.prepare_data import fill_store
from framework.runs.steps.rehearsal import rehearse
from framework.runs.steps.tables import leaderboard_table
from framework.tuning.automatic.choice import (
    Judged,
    judge_setups,
    judging_origins,
    node_of,
    with_setup,
)
from framework.tuning.automatic.facts import Facts, describe
from framework.tuning.automatic.setups import Frame, Setup, candidates
from framework.tuning.experiment import (
    check_not_edited,
    experiment_text,
    given_on_the_command_line,
    sealed,
    write_experiment,
)

LEADERBOARD = "leaderboard.json"


def settled(run: Run) -> tuple[Run, dict[str, Any], Panel | None]:
    """With ``model=auto``, return the run with the model that was chosen, what is said of it in the
    result, and the panel that was read; any other run as it is, with nothing.
    """
    if run.config.component("model").name != AUTO:
        without_effect = given_on_the_command_line("auto.minutes", "auto.output")
        if without_effect:
            raise ConfigError(
                f"{without_effect[0]}: only model=auto takes it, and this run has "
                f"model={run.config.component('model').name}; leave it out, or choose model=auto."
            )
        return run, {}, None
    check_not_edited(_output(run.config), "auto.output", "model=auto")
    features = Features(run.config, run.make("retrieval"))
    rehearse(run.config, features, run.make("preprocessor"), run.make("model"))
    fill_store(run, features)
    whole_panel = backtest_panel(features)
    schema = features.schema(whole_panel, run.make("model"))
    panel, _ = take_part(whole_panel, schema, run.config.panel.short, run.config.validation.steps)
    ranked, facts = _ranked(run, panel, features, schema)
    best = ranked[0]
    naive = _strongest_naive(run.config, ranked)
    config = with_setup(run.config, best.setup, Components(run.config, run.plugins), naive)
    file = _write(run, best, naive)
    board = [one.as_dict() for one in ranked]
    path = run.directory / LEADERBOARD
    path.write_text(json.dumps(board, indent=1))
    run.record.artifacts += [path, file]
    run.record.facts["auto"] = {"chosen": best.setup.name, "leaderboard": board}
    run.say(leaderboard_table(run.config.name, ranked))
    run.say(f"auto: {best.setup.name}: {best.setup.why}; written to {file}")
    decision = {
        "chosen": best.setup.name,
        "why": best.setup.why,
        "seasons": facts.seasons(),
        "leaderboard": board,
        "written": str(file),
    }
    is_same = (config.features, config.panel) == (run.config.features, run.config.panel)
    return replace(run, config=config), {"auto": decision}, whole_panel if is_same else None


def _output(config: Config) -> Path:
    return config.auto.output or Path("conf/experiment") / f"{config.name}_auto.yaml"


def _ranked(
    run: Run, panel: Panel, features: Features, schema: Schema
) -> tuple[list[Judged], Facts]:
    config, limit = run.config, features.strategy.max_context_length
    folds = plan_folds(
        panel.times,
        panel.frequency,
        config.panel.horizon,
        config.backtest,
        since=config.panel.since,
    )
    known = panel.known_at(folds[0].origin)
    since = config.panel.since
    first = known.times.min() if since is None else to_numpy(since)
    before = known.between(first, min(folds[0].cutoff, folds[0].origin))
    lengths = seasons(config.panel.model_dump())
    facts = describe(before, config.panel.targets, lengths, config.panel.horizon)
    origins = judging_origins(before, before.times.max(), config.panel.horizon, facts.season)
    frame = _frame(config, before, facts, len(origins), limit)
    setups = candidates(frame, _models(run.plugins), 60 * config.auto.minutes)
    run.say(
        f"auto: {facts.series} series of {facts.length} steps, seasons "
        f"{list(facts.seasons()) or 'none'}; {len(setups)} set-ups on {len(origins)} origins "
        "before those of the backtest"
    )
    if not len(origins):
        simple = max(setups, key=lambda s: s.options.get("season_length") == facts.season)
        return [Judged(simple, None, "the history is too short to judge set-ups")], facts

    def tell(one: Judged) -> None:
        run.say(f"auto: {one.setup.name}: {one.error or f'{one.value:.4f}'}")

    if config.backtest.as_known:
        versions, _ = take_part(
            backtest_panel(features, origins), schema, config.panel.short, config.validation.steps
        )
        known = replace(known, vintages=versions.vintages)
    components = Components(config, run.plugins)
    return judge_setups(components, known, setups, origins, limit, tell), facts


def _models(plugins: Plugins) -> dict[str, Automatic]:
    """The models that offer themselves to ``model=auto``."""
    return {
        component.name: component.automatic
        for component in plugins.components()
        if component.kind == "model" and component.automatic is not None
    }


def _frame(config: Config, panel: Panel, facts: Facts, origins: int, limit: int | None) -> Frame:
    horizon, targets = config.panel.horizon, config.panel.targets
    lags = tuple(n for n in _lags(config) if n < facts.length)
    return Frame(
        facts,
        horizon,
        origins,
        lags,
        panel.past.shape[1] + panel.known.shape[1],
        {name: _scales(panel, name, facts) for name in targets},
        limit,
    )


def _lags(config: Config) -> tuple[int, ...]:
    """The seasonal lags that the primary view has every column for."""
    from framework.config.automatic import seasonal_lags
    from framework.features.operations import steps_back

    names = set(config.features.views[config.features.primary].feature_names())
    steps = range(1, config.panel.horizon + 1)
    return tuple(
        lag
        for lag in (1, *(n for n in seasonal_lags(config.panel.model_dump()) if n > 1))
        if all(
            back == 0 or f"{target}_lag_{back}" in names
            for step in steps
            for back in steps_back([lag], step)
            for target in config.panel.targets
        )
    )


def _scales(panel: Panel, target: str, facts: Facts) -> tuple[str, ...]:
    """Rolling means of a target that is never negative, standard deviations of another one, the
    longest first that lies inside a quarter of the usual series and is above 0 in most rows.
    """
    statistic = "std" if facts.targets[target].signed else "mean"
    windows = []
    for place, name in enumerate(panel.past_names):
        head, _, tail = name.rpartition("_rolling_")
        size, _, kind = tail.partition("_")
        if head == target and kind == statistic and size.isdigit():
            column = panel.past[:, place]
            known = column[np.isfinite(column)]
            if int(size) * 4 <= facts.length and len(known) and np.median(known) > 0:
                windows.append((-int(size), name))
    return tuple(name for _, name in sorted(windows))


def _strongest_naive(config: Config, ranked: list[Judged]) -> dict[str, Any]:
    """The season of the best naive forecast, for the baseline; nothing where the baseline is of the
    user's own choice, or its season was not judged: another one might be weaker.
    """
    baseline = config.component("baseline")
    season = getattr(baseline.options, "season_length", None)
    results = [
        one.setup.options["season_length"]
        for one in ranked
        if one.setup.naive and one.setup.model == baseline.name and one.value is not None
    ]
    if season != config.panel.season_length or season not in results:
        return {}
    return {"baseline.season_length": results[0]}


def _write(run: Run, best: Judged, naive: dict[str, Any]) -> Path:
    """The experiment file of the choice."""
    config = run.config
    path = _output(config)
    setup: Setup = best.setup
    node = node_of(setup, Components(config, run.plugins))
    values: dict[str, Any] = {f"model.{key}": value for key, value in node.items()}
    values |= naive
    primary = config.features.primary
    plain = _plain(config)
    values[f"features.views.{primary}.engineer"] = plain["features"]["views"][primary]["engineer"]
    values["preprocessor.future"] = plain["preprocessor"].get("future", [])
    comment = f"Chosen by model=auto: {setup.name}, {setup.why}."
    left_out = [section.name for section in run.plugins.sections() if not section.decisive]
    text = experiment_text(values, comment, left_out, selected={"model": setup.model})
    write_experiment(path, sealed(text))
    return path


def _plain(config: Config) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(OmegaConf.create(config.text))
    return dict(plain)
