"""Judges the set-ups on origins before those of the backtest, and chooses the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from framework.config.config import Config
from framework.config.ensembles import ENSEMBLE
from framework.config.groups import default_node
from framework.config.sections import BacktestConfig
from framework.data.arrays import Flags, Times
from framework.data.panel import Panel
from framework.errors import ComponentError, ConfigError, DataError, FrameworkError
from framework.evaluation.backtest import fit_fold, forecast_windows
from framework.evaluation.folds import plan_folds
from framework.evaluation.result import BacktestResult, join_folds
from framework.plugins.components import Components, make_setting
from framework.retrieval.schema import make_schema
from framework.tuning.automatic.judged import (
    Judged,
    answered_by_all,
    clearly_better,
    in_order,
    scaled_error,
)
from framework.tuning.automatic.placeholder import NoBaseline
from framework.tuning.automatic.setups import NAIVE, Setup
from framework.tuning.automatic.weights import weighted_by_series
from framework.tuning.space import substituted

#: The ensemble that weighs its members for each series.
BY_SERIES = "by_series"
#: Origins that set-ups are judged from, where the history is long enough.
ORIGINS = 4
#: Windows of a target that set-ups are judged on, where few series and targets allow more origins,
#: and the part of the usual history that these further origins may lie in.
_WINDOWS, _RECENT = 28, 0.1
#: The mean of the best set-up of each model.
OF_MODELS = "mean_of_models"
#: The part of its value by which an ensemble must be better than another one, for it costs as
#: much as all of its members, and twice as much where it weighs them by series.
_WORTH = {OF_MODELS: 0.005, BY_SERIES: 0.01}
#: A set-up that is worse than the best of all by more than this factor has no part in the mean of
#: models and in that with the naive one, and an ensemble that is worse by more is not chosen.
_NEAR = 1.15


def judging_origins(
    panel: Panel, first: np.datetime64, horizon: int, season: int, targets: int = 1
) -> Times:
    """The origins that set-ups are judged from, oldest first: a horizon apart, their horizons over
    at ``first``, the first origin of the backtest. Half of the usual history, or two seasons, lie
    before all of them; none where there is no room. A few series of few targets are judged from
    more than :data:`ORIGINS` of them, in the newest tenth of their history: four days of one series
    say little.
    """
    inside = panel.between(panel.times.min(), first)
    usual = int(np.median(np.diff(inside.offsets)))
    room = usual - max(usual // 2, 2 * season + 2, 4)
    recent = min(-(-_WINDOWS // (len(inside.entities) * targets)), int(_RECENT * usual) // horizon)
    count = min(max(ORIGINS, recent), room // horizon)
    back = horizon * np.arange(count, 0, -1)
    return panel.frequency.shift(np.full(max(count, 0), first), -back)


def with_setup(
    config: Config, setup: Setup, components: Components, more: Mapping[str, Any] = {}
) -> Config:
    """The configuration with the model of ``setup`` and the values of ``more``, by path."""
    node = node_of(setup, components)
    return substituted(config.text, {"model": node, **more}, components.plugins)


def judge_setups(
    components: Components,
    panel: Panel,
    setups: Sequence[Setup],
    origins: Times,
    limit: int | None,
    tell: Callable[[Judged], None],
) -> list[Judged]:
    """Fit every set-up once, on what the first origin knows, and forecast from all ``origins``.

    All are judged on the windows that the naive set-ups answer: a series that is new at an origin
    takes no naive set-up out of the comparison. A set-up that cannot be fitted to these data,
    whose code raises, or that has no forecast of one of those windows, is kept with its error.

    Returns:
        The set-ups and the ensembles of the best of them, the chosen one first, then the best;
        equal ones in the order of ``setups``. The best ensemble is chosen, unless a single set-up
        is clearly better: a choice among near ones is mostly chance, and the errors of several
        cancel.
    """
    results: dict[str, BacktestResult] = {}
    errors: dict[str, str] = {}

    def forecast(setup: Setup) -> None:
        try:
            results[setup.name] = _result(components, panel, setup, origins, limit)
        except (DataError, ConfigError, ComponentError) as error:
            errors[setup.name] = str(error)

    def value(setup: Setup) -> Judged:
        try:
            return Judged(setup, scaled_error(results[setup.name], windows))
        except DataError as error:
            return Judged(setup, None, str(error))

    def judge(setup: Setup) -> Judged:
        error = errors.get(setup.name)
        return value(setup) if error is None else Judged(setup, None, error)

    naive = [setup for setup in setups if setup.naive]
    for setup in naive:
        forecast(setup)
    seasonal = [setup.name for setup in naive if "context_length" not in setup.options]
    windows = answered_by_all(results[name] for name in seasonal if name in results)
    judgements = sorted(map(judge, naive), key=in_order)[:NAIVE]
    for one in judgements:
        tell(one)
    for setup in setups:
        if not setup.naive:
            forecast(setup)
            judgements.append(judge(setup))
            tell(judgements[-1])
    able = [one for one in judgements if one.value is not None]
    for setup in _means(able, components):
        members = [results[name] for name in setup.options["members"]]
        mean = np.mean([result.forecast for result in members], axis=0)
        results[setup.name] = replace(members[0], forecast=mean)
        judgements.append(value(setup))
        tell(judgements[-1])
    weighted = weighted_by_series(
        {one.setup.name: results[one.setup.name] for one in able}, windows
    )
    if weighted is not None:
        names, results[BY_SERIES] = weighted
        picks = [one.setup for one in able if one.setup.name in names]
        judgements.append(value(_ensemble(BY_SERIES, picks, components, weights=BY_SERIES)))
        tell(judgements[-1])
    if all(one.value is None for one in judgements):
        raise FrameworkError(
            f"model=auto: none of {len(judgements)} set-ups could be judged; "
            f"the first: {judgements[0].error if judgements else 'no model is installed'}"
        )
    ranked = sorted(judgements, key=in_order)
    best = _chosen([one for one in ranked if one.value is not None], results, windows)
    ranked.remove(best)
    return [best, *ranked]


def _chosen(
    ranked: Sequence[Judged], results: Mapping[str, BacktestResult], windows: Flags | None
) -> Judged:
    single = next((one for one in ranked if one.setup.model != ENSEMBLE), None)
    ensembles = [one for one in ranked if one.setup.model == ENSEMBLE]
    if single is None or not ensembles:
        return ranked[0]
    ensemble = min(ensembles, key=_handicapped)
    is_near = (ensemble.value or 0.0) <= _NEAR * (single.value or 0.0)
    one, other = results[single.setup.name], results[ensemble.setup.name]
    return ensemble if is_near and not clearly_better(one, other, windows) else single


def _handicapped(one: Judged) -> float:
    """The value that decides among ensembles: they must be worth their cost."""
    return (one.value or 0.0) * (1 + _WORTH.get(one.setup.name, 0.0))


def _means(able: Sequence[Judged], components: Components) -> list[Setup]:
    """The mean of the best set-ups of models that learn, of the best two such set-ups, and of these
    two, where they are near the best, and the best one that learns nothing.
    """
    ordered = sorted(able, key=in_order)
    learners = [one for one in ordered if not one.setup.naive]
    naive = [one.setup for one in ordered if one.setup.naive]
    near = [
        one.setup for one in learners if (one.value or 0.0) <= _NEAR * (ordered[0].value or 0.0)
    ]
    unlike = {setup.model: setup for setup in reversed(near)}
    groups = {
        OF_MODELS: [setup for setup in near if unlike[setup.model] == setup],
        "mean_of_2": [one.setup for one in learners[:2]],
        "mean_with_naive": [*near[:2], *naive[:1]] if near else [],
    }
    return [
        _ensemble(name, members, components)
        for name, members in groups.items()
        if len(members) > 1 and (name == OF_MODELS or members != groups[OF_MODELS])
    ]


def _ensemble(name: str, members: Sequence[Setup], components: Components, **options: Any) -> Setup:
    what = "weights by series for" if options else "the mean of"
    return Setup(
        name,
        ENSEMBLE,
        f"{what} {', '.join(member.name for member in members)}",
        {"members": {m.name: node_of(m, components) for m in members}, **options},
    )


def node_of(setup: Setup, components: Components) -> dict[str, Any]:
    """The node of the model of ``setup``, every option written out."""
    component = components.plugins.find("model", setup.model)
    return {**default_node(setup.model, component.options), **setup.options}


def _result(
    components: Components, panel: Panel, setup: Setup, origins: Times, limit: int | None
) -> BacktestResult:
    config = with_setup(components.config, setup, components, {"quantiles": []})
    own = Components(config, components.plugins)
    schema = make_schema(config, panel, own.make("model"), limit)
    # a new series has no naive forecast here, or it would take what needs a history out of the race
    schema = schema.model_copy(update={"least_context": None})
    setting = replace(make_setting(own, panel, schema), make_baseline=partial(NoBaseline, None))
    options = BacktestConfig(folds=len(origins), refit=False)
    since = config.panel.since
    folds = plan_folds(panel.times, panel.frequency, schema.horizon, options, origins, since)
    fitted = fit_fold(setting, folds[0])
    return join_folds([forecast_windows(setting, fold, fitted) for fold in folds])
