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
from framework.errors import ConfigError
from framework.evaluation.as_known import backtest_panel
from framework.evaluation.eligibility import take_part
from framework.interfaces.plugin import Automatic
from framework.plugins.components import Components
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.prepare_data import fill_store
from framework.runs.steps.rehearsal import rehearse
from framework.runs.steps.row_memory import check_rows
from framework.runs.steps.season_lengths import judged_history, season_lengths
from framework.runs.steps.tables import leaderboard_table
from framework.tuning.automatic.choice import (
    judge_setups,
    judging_origins,
    node_of,
    with_setup,
)
from framework.tuning.automatic.facts import Facts, describe
from framework.tuning.automatic.judged import Judged
from framework.tuning.automatic.setups import Frame, Setup, candidates
from framework.tuning.experiment import (
    check_not_edited,
    experiment_text,
    given_on_the_command_line,
    sealed,
    write_experiment,
)
from framework.tuning.space import substituted

LEADERBOARD = "leaderboard.json"


def settled(run: Run) -> tuple[Run, dict[str, Any], Panel | None]:
    """Find what the data decide: the seasons of the baseline and, with ``model=auto``, the model.

    Returns:
        The run with what was found, what is said of the choice in the result, and the panel that
        was read; a run without anything to find as it is, with nothing.
    """
    is_auto = run.config.component("model").name == AUTO
    if not is_auto:
        without_effect = given_on_the_command_line("auto.minutes", "auto.output")
        if without_effect:
            raise ConfigError(
                f"{without_effect[0]}: only model=auto takes it, and this run has "
                f"model={run.config.component('model').name}; leave it out, or choose model=auto."
            )
        if not _looks_for_seasons(run.config):
            return run, {}, None
    else:
        check_not_edited(_output(run.config), "auto.output", "model=auto")
    features = Features(run.config, run.make("retrieval"))
    rehearse(run.config, features, run.make("preprocessor"), run.make("model"))
    fill_store(run, features)
    check_rows(run, features, fits=True)
    panel = backtest_panel(features)
    run, is_same = _with_seasons(run, panel, is_auto)
    if not is_auto:
        return run, {}, panel
    if not is_same:
        scratch = features.scratch
        features = Features(run.config, run.make("retrieval"))
        features.scratch = scratch
        anew = substituted(run.config.text, {"ingest.when": "always"}, run.plugins)
        fill_store(replace(run, config=anew), features)
        panel = backtest_panel(features)
    return _chosen(run, features, panel)


def _looks_for_seasons(config: Config) -> bool:
    baseline = config.component("baseline").options
    return getattr(baseline, "seasons", ()) is None


def _with_seasons(run: Run, panel: Panel, is_auto: bool) -> tuple[Run, bool]:
    """The run with the seasons that its data show, and whether its views are the same.

    ``model=auto`` makes the features of these seasons too, where it made those of the usual ones.
    They are computed at ingestion, so a run that must not ingest goes without them.
    """
    config = run.config
    try:
        _, history = judged_history(config, panel)
    except ConfigError:
        return run, True  # the backtest says what is too short
    lengths = season_lengths(config, history)
    values: dict[str, Any] = {}
    if _looks_for_seasons(config) and lengths:
        values["baseline.seasons"] = list(lengths)
    usual = seasons(config.panel.model_dump())
    if is_auto and {*lengths} != {*usual} and config.ingest.when != "never":
        values["panel.seasons"] = sorted(lengths)
        engineer = f"features.views.{config.features.primary}.engineer"
        remade = substituted(config.text, {engineer: AUTO}, run.plugins)
        if remade.features == config.features:
            values[engineer] = AUTO
        run.say(f"auto: the data show seasons of {sorted({*lengths} - {*usual})} steps")
    if not values:
        return run, True
    changed = substituted(config.text, values, run.plugins)
    return replace(run, config=changed), changed.features == config.features


def _chosen(
    run: Run, features: Features, whole_panel: Panel
) -> tuple[Run, dict[str, Any], Panel | None]:
    """With ``model=auto``: judge the set-ups, take the best, write it as an experiment."""
    schema = features.schema(whole_panel, run.make("model"))
    panel, _ = take_part(whole_panel, schema, run.config.panel.short, run.config.validation.steps)
    ranked, facts = _ranked(run, panel, features, schema)
    best = ranked[0]
    config = with_setup(run.config, best.setup, Components(run.config, run.plugins))
    file = _write(run, best)
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
    known, before = judged_history(config, panel)
    lengths = season_lengths(config, before)
    facts = describe(before, config.panel.targets, lengths, config.panel.horizon)
    origins = judging_origins(
        before, before.times.max(), config.panel.horizon, facts.season, len(facts.targets)
    )
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


def _write(run: Run, best: Judged) -> Path:
    """The experiment file of the choice."""
    config = run.config
    path = _output(config)
    setup: Setup = best.setup
    node = node_of(setup, Components(config, run.plugins))
    values: dict[str, Any] = {f"model.{key}": value for key, value in node.items()}
    selected = {"model": setup.model}
    primary = config.features.primary
    plain = _plain(config)
    if config.panel.seasons is not None:
        values["panel.seasons"] = plain["panel"]["seasons"]
    if plain["baseline"].get("seasons"):
        values |= {f"baseline.{key}": value for key, value in plain["baseline"].items()}
        selected["baseline"] = config.component("baseline").name
    columns = {name for view in config.features.views.values() for name in view.columns}
    if not columns.issuperset(config.panel.known):
        values["panel.known"] = list(config.panel.known)
    values[f"features.views.{primary}.engineer"] = plain["features"]["views"][primary]["engineer"]
    values["preprocessor.future"] = plain["preprocessor"].get("future", [])
    comment = f"Chosen by model=auto: {setup.name}, {setup.why}."
    left_out = [section.name for section in run.plugins.sections() if not section.decisive]
    text = experiment_text(values, comment, left_out, selected=selected)
    write_experiment(path, sealed(text))
    return path


def _plain(config: Config) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(OmegaConf.create(config.text))
    return dict(plain)
