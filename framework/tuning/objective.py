"""The objective of a search: a backtest metric of a configuration, fold by fold.

The code is that of the backtest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from framework.config.catalog import Plugins
from framework.data.panel import Panel
from framework.errors import ConfigError, DataError, suggest
from framework.evaluation.backtest import Setting, run_fold
from framework.evaluation.eligibility import take_part
from framework.evaluation.folds import Fold
from framework.evaluation.metrics import POINT_METRICS
from framework.evaluation.result import BacktestResult
from framework.interfaces.tuner import Evaluation, Objective
from framework.plugins.components import Components, installed, make_setting
from framework.retrieval.schema import make_schema, past_columns
from framework.tuning.space import substituted

#: Stands for the mean over all targets.
EVERY = "*"
_OF_SERIES, _OF_QUANTILES = ("RMSSE",), ("WQL", "pinball")
_WITHOUT_UNIT = ("MASE", "RMSSE", "WAPE", "sMAPE", "WQL")


@dataclass(frozen=True, slots=True)
class Goal:
    """``metric`` of ``target``, :data:`EVERY` for the mean over targets; ``worst``: the largest of
    the folds' figures, otherwise their mean.
    """

    metric: str
    target: str
    worst: bool

    @classmethod
    def of(
        cls,
        metric: str,
        target: str | None,
        over: str,
        targets: Sequence[str],
        quantiles: Sequence[float] = (),
    ) -> Goal:
        """Check what a search is asked to minimise.

        Args:
            metric: A metric of :func:`framework.evaluation.metrics.score`.
            target: One of ``targets``, None for the first, :data:`EVERY` for all.
            over: ``worst`` or ``mean`` of the folds.
            targets: Those that are forecast.
            quantiles: Those that are forecast.

        Raises:
            ConfigError: The metric or the target is not known; the metric judges quantiles, and
                there are none; it has the unit of a target, and the targets are to be averaged.
        """
        target = target or targets[0]
        for key, name, known in (
            ("metric", metric, (*POINT_METRICS, *_OF_SERIES, *_OF_QUANTILES)),
            ("target", target, (*targets, EVERY)),
        ):
            if name not in known:
                raise ConfigError(
                    f"tune.{key}: '{name}' is not known;{suggest(name, known)} Known: "
                    f"{', '.join(known)}."
                )
        if metric in _OF_QUANTILES and not quantiles:
            raise ConfigError(f"tune.metric: {metric} judges quantiles; give some in quantiles.")
        if target == EVERY and metric not in _WITHOUT_UNIT:
            raise ConfigError(
                f"tune.target: {metric} has the unit of its target, so that a mean over targets "
                f"says nothing; choose one target, or tune.metric of {', '.join(_WITHOUT_UNIT)}."
            )
        return cls(metric, target, over == "worst")

    def value(self, parts: list[BacktestResult]) -> float:
        """The objective over ``parts``; of the bias, its size counts."""
        figures = [self._figure(part) for part in parts]
        return float(max(figures) if self.worst else np.mean(figures))

    def _figure(self, part: BacktestResult) -> float:
        figures = part.metrics()
        names = list(figures) if self.target == EVERY else [self.target]
        values = [abs(figures[name]["model"].get(self.metric, np.nan)) for name in names]
        return float(np.mean(values))


@dataclass(frozen=True)
class BacktestObjective(Objective):
    """``text``: the composed config that a trial's values are put into. ``panel`` has every column
    that a trial may ask for.
    """

    text: str
    panel: Panel
    planned: tuple[Fold, ...]
    goal: Goal
    limit: int | None
    plugins: Plugins | None = None

    @property
    def folds(self) -> int:
        return len(self.planned)

    def __getstate__(self) -> dict[str, Any]:
        """Without the plugins of this process: another one uses those installed there."""
        return {**self.__dict__, "plugins": None}

    def evaluation(self, values: Mapping[str, Any]) -> BacktestEvaluation:
        plugins = self.plugins or installed()
        return BacktestEvaluation(
            self, Components(substituted(self.text, values, plugins), plugins)
        )


class BacktestEvaluation(Evaluation):
    def __init__(self, objective: BacktestObjective, components: Components) -> None:
        self._objective, self._components = objective, components
        self._parts: list[BacktestResult] = []

    @cached_property
    def _setting(self) -> Setting:
        config = self._components.config
        panel = narrow(self._objective.panel, past_columns(config))
        schema = make_schema(config, panel, self._components.make("model"), self._objective.limit)
        panel, _ = take_part(panel, schema, config.panel.short, config.validation.steps)
        return make_setting(self._components, panel, schema)

    def fold(self, number: int) -> float:
        self._parts.append(run_fold(self._setting, self._objective.planned[number]))
        value = self._objective.goal.value(self._parts)
        if not np.isfinite(value):
            goal = self._objective.goal
            raise DataError(f"fold {number + 1}: {goal.metric} of '{goal.target}' is {value}.")
        return value


def narrow(panel: Panel, past: tuple[str, ...]) -> Panel:
    """The panel with these past columns, in this order."""
    if past == panel.past_names:
        return panel
    index = [panel.past_names.index(name) for name in past]
    vintages = {origin: narrow(known, past) for origin, known in panel.vintages.items()}
    ageless = None if panel.ageless is None else narrow(panel.ageless, past)
    narrowed = panel.scratch.columns(panel.past, index)
    return replace(panel, past=narrowed, past_names=past, vintages=vintages, ageless=ageless)
