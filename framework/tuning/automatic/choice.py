"""Judges the set-ups on origins before those of the backtest, and chooses the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
#: The part of its value by which an ensemble must be better than a single set-up, for it costs as
#: much as all of its members, and twice as much where it weighs them by series. The mean of two
#: need only be better: a choice between near ones is mostly chance.
_WORTH = {OF_MODELS: 0.005, BY_SERIES: 0.01}
#: A model whose best set-up is worse than the best of all by more than this factor has no part in
#: the mean of models.
_NEAR = 1.15


@dataclass(frozen=True, slots=True)
class Judged:
    """A set-up. ``value``: the geometric mean over targets of its scaled errors; ``error``: why it
    has none.
    """

    setup: Setup
    value: float | None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        setup = self.setup
        return {
            "setup": setup.name,
            "model": setup.model,
            "why": setup.why,
            "value": None if self.value is None else float(f"{self.value:.6g}"),
            "options": setup.options,
            **({} if self.error is None else {"error": self.error}),
        }


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
        The set-ups and the ensembles of the best of them, the best first; equal ones in the order
        of ``setups``. An ensemble counts as better only by :data:`_WORTH`.
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
            return Judged(setup, _value(results[setup.name], windows))
        except DataError as error:
            return Judged(setup, None, str(error))

    def judge(setup: Setup) -> Judged:
        error = errors.get(setup.name)
        return value(setup) if error is None else Judged(setup, None, error)

    naive = [setup for setup in setups if setup.naive]
    for setup in naive:
        forecast(setup)
    seasonal = [setup.name for setup in naive if "context_length" not in setup.options]
    windows = _answered_by_all(results[name] for name in seasonal if name in results)
    judgements = sorted(map(judge, naive), key=_order)[:NAIVE]
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
    ranked = sorted(judgements, key=_order)
    best = min((one for one in ranked if one.value is not None), key=_handicapped)
    ranked.remove(best)
    return [best, *ranked]


def _order(one: Judged) -> tuple[bool, float]:
    return one.value is None, one.value or 0.0


def _handicapped(one: Judged) -> float:
    """The value that decides: an ensemble must be worth its cost."""
    return (one.value or 0.0) * (1 + _WORTH.get(one.setup.name, 0.0))


def _means(able: Sequence[Judged], components: Components) -> list[Setup]:
    """The mean of the best set-ups of models that learn, and of the best two such set-ups."""
    ordered = sorted(able, key=_order)
    learners = [one for one in ordered if not one.setup.naive]
    unlike: dict[str, Setup] = {}
    for one in learners:
        if (one.value or 0.0) <= _NEAR * (ordered[0].value or 0.0):
            unlike.setdefault(one.setup.model, one.setup)
    groups = {
        OF_MODELS: list(unlike.values()),
        "mean_of_2": [one.setup for one in learners[:2]],
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
    setting = make_setting(own, panel, schema)
    options = BacktestConfig(folds=len(origins), refit=False)
    since = config.panel.since
    folds = plan_folds(panel.times, panel.frequency, schema.horizon, options, origins, since)
    fitted = fit_fold(setting, folds[0])
    return join_folds([forecast_windows(setting, fold, fitted) for fold in folds])


def _answered_by_all(results: Iterable[BacktestResult]) -> Flags | None:
    """The windows that every result has a forecast of, the results without any left aside; None for
    all windows.
    """
    windows: Flags | None = None
    for result in results:
        answered: Flags = _answered(result)
        if windows is not None:
            answered = windows & answered
        if answered.any():
            windows = answered
    return windows


def _answered(result: BacktestResult) -> Flags:
    return np.asarray(np.isfinite(result.forecast[..., 0]).all(axis=(1, 2)))


def _value(result: BacktestResult, windows: Flags | None) -> float:
    """The geometric mean over targets of MASE, or of WAPE where no series is long enough for it, so
    that each target counts as much as another.

    Raises:
        DataError: Nothing was judged, or one of ``windows`` has no forecast.
    """
    answered = _answered(result)
    in_window = np.ones(len(answered), dtype=bool) if windows is None else windows
    if (in_window & ~answered).any():
        raise DataError(
            f"{(in_window & ~answered).sum()} of {in_window.sum()} windows have too short a "
            "history for it"
        )
    model_only = replace(result, baseline=result.forecast[..., 0])  # metrics wants both to answer
    figures = [sides["model"] for sides in model_only.metrics(in_window).values()]
    values = [f["MASE"] if np.isfinite(f["MASE"]) else f["WAPE"] for f in figures]
    known = [value for value in values if np.isfinite(value)]
    if not known:
        raise DataError("no actual to judge it by")
    return float(np.exp(np.mean(np.log(np.maximum(known, 1e-9)))))
