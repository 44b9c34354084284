"""The sections of a configuration that several runs share."""

from __future__ import annotations

from datetime import datetime
from math import ceil, floor
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from framework.data.vocabulary import GapPolicy
from framework.options import Options


class Paths(Options):
    """``state``: the folder that holds everything a project makes; deleting it starts afresh."""

    state: Path


ShortPolicy = Literal["refuse", "drop", "keep"]


class Bounds(Options):
    """The lowest and the highest value of a target, null for no limit."""

    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.lower is None and self.upper is None:
            raise ValueError("lower or upper is needed")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}")
        return self


class PanelConfig(Options):
    """The panel: the columns that are forecast, the step, and the horizon.

    ``columns``: features of the views to use, null for all. ``season_length``: steps of the season
    that errors are scaled by, null for the shortest usual one of the frequency. ``seasons``: the
    seasons that ``auto`` and the baseline look at, null for the usual ones and those that the data
    show.

    ``short``: what is done with a series from which nothing can be learned, see
    :mod:`framework.evaluation.eligibility`: ``refuse`` to train, ``drop`` it from the run, or
    ``keep`` it, unlearned, until it is long enough to be forecast. ``new``: a series that a pair
    was not trained on gets a ``forecast`` like any other, or none (``refuse``: ``unknown_entity``).
    ``cold``: what a window without any value of a target of its own gets: no forecast (``refuse``:
    ``short_history``), or one from its static and known columns, flagged as ``cold`` (``forecast``,
    by a model that can).
    ``unused``: what is done about covariates that the model cannot use: ``warn`` in the result, or
    ``refuse``. ``since``: the first step (UTC) that a fit learns from, null for the first row;
    earlier rows stay the history of a forecast. ``mapped``: whether its arrays are in files below
    ``paths.state`` that the system takes out of the memory when it needs that: ``auto`` where they
    would take more than half of the memory that is free. No number depends on it.

    Every forecast keeps to the domain of its target: ``bounds`` by target; ``zero_when``: by column
    of ``known`` the value with which every target is 0, such as ``{open: 0}``; ``rounded``: the
    targets that are whole numbers.
    """

    targets: tuple[str, ...] = Field(min_length=1)
    frequency: str
    horizon: PositiveInt
    season_length: PositiveInt = None  # type: ignore[assignment]  # written out from the frequency
    seasons: tuple[PositiveInt, ...] | None = None
    columns: tuple[str, ...] | None = None
    known: tuple[str, ...] = ()
    gaps: GapPolicy = "refuse"
    short: ShortPolicy = "refuse"
    new: Literal["forecast", "refuse"] = "forecast"
    cold: Literal["refuse", "forecast"] = "refuse"
    unused: Literal["warn", "refuse"] = "warn"
    since: datetime | None = None
    mapped: bool | Literal["auto"] = "auto"
    bounds: dict[str, Bounds] = Field(default={})
    zero_when: dict[str, float] = Field(default={})
    rounded: tuple[str, ...] = ()

    @field_validator("frequency")
    @classmethod
    def _known_frequency(cls, alias: str) -> str:
        from framework.data.frequency import Frequency  # brings numpy

        return Frequency.parse(alias).alias

    @field_validator("since", mode="before")
    @classmethod
    def _utc(cls, text: Any) -> Any:
        if not isinstance(text, str):
            return text
        from framework.data.time import parse_time  # brings numpy

        return parse_time(text, "panel.since")

    @model_validator(mode="after")
    def _domain_of_these_columns(self) -> PanelConfig:
        for key, names, part in (
            ("bounds", self.bounds, "targets"),
            ("rounded", self.rounded, "targets"),
            ("zero_when", self.zero_when, "known"),
        ):
            columns = getattr(self, part)
            unknown = [name for name in names if name not in columns]
            if unknown:
                raise ValueError(
                    f"{key}: '{unknown[0]}' is not in panel.{part}, which has {list(columns)}"
                )
        for name, bound in self.bounds.items():
            low, high = bound.lower or 0.0, bound.upper or 0.0
            is_closed = None not in (bound.lower, bound.upper)
            if name in self.rounded and is_closed and ceil(low) > floor(high):
                raise ValueError(f"bounds.{name}: no whole number lies between them")
            if self.zero_when and not low <= 0 <= high:
                raise ValueError(f"zero_when: 0 is outside panel.bounds.{name}; change the bounds")
        return self


class BacktestConfig(Options):
    """Rolling origins, counted back from the last step: ``folds`` origins, ``step`` apart, ``gap``
    steps after each fit's last row.

    ``window: sliding`` keeps the last ``window_length`` steps of each fit; ``expanding`` keeps all.
    ``refit: false`` fits once, on what the first origin knows, and forecasts from every origin with
    that. ``compare``: further models, with their default options, that ``run=backtest`` judges on
    the same windows. ``holdout``: origins at the end that are kept apart. The folds end before
    them, ``run=tune`` and ``model=auto`` do not see them, and the result reports them by
    themselves.
    ``as_known``: a fold learns and forecasts from the versions of rows that were
    created by the end of its origin; the actuals are the newest ones.
    """

    folds: PositiveInt = 4
    holdout: int = Field(default=0, ge=0)
    step: PositiveInt | None = None
    gap: int = Field(default=0, ge=0)
    window: Literal["expanding", "sliding"] = "expanding"
    window_length: PositiveInt | None = None
    refit: bool = True
    as_known: bool = False
    compare: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _length_of_a_sliding_window(self) -> BacktestConfig:
        if (self.window == "sliding") != (self.window_length is not None):
            raise ValueError("window: sliding and window_length go together")
        return self


class ValidationConfig(Options):
    """``steps``: the tail of every fit's rows that early stopping watches; 0 for none."""

    steps: int = Field(default=0, ge=0)


class GateConfig(Options):
    """The limits that a pair must meet to be promoted; null leaves a check out.

    Every limit holds for each target.

    ``metric``: compared with the incumbent's, at most ``1 + margin`` times, and the baseline's, at
    most ``1 + baseline_margin`` times. ``worst_series``: the largest ratio of a series' mean
    absolute error to the incumbent's. ``bias``: the largest size of the bias relative to the
    mean actual. ``coverage``: the largest distance of a quantile's empirical share from its level.
    """

    metric: str = "MAE"
    margin: float = 0.0
    baseline_margin: float = 0.0
    worst_series: float | None = Field(default=None, gt=0)
    bias: float | None = Field(default=None, gt=0)
    coverage: float | None = Field(default=None, gt=0)


class IngestConfig(Options):
    """``when``: whether ``train``, ``backtest`` and ``tune`` ingest before they read the store.
    ``auto`` (default) does where the store has no rows, and says when the source has changed since;
    ``always`` does each time, also before ``run=monitor``; ``never`` refuses an empty store.

    ``removed``: what is done about stored rows that a source which gives all of its rows, such
    as a file, no longer has.

    ``warn`` (default) names them in the result and keeps them; ``keep`` says nothing; ``remove``
    takes them out of the store.
    """

    when: Literal["auto", "always", "never"] = "auto"
    removed: Literal["warn", "keep", "remove"] = "warn"


class PluginsConfig(Options):
    """``block``: plugins that are not imported, by the names of their entry points or
    distributions. It stands in ``conf/config.yaml`` or on the command line: an experiment is read
    when the plugins are loaded already.
    """

    block: tuple[str, ...] = ()


class AutoConfig(Options):
    """``model=auto`` and ``future: auto``. ``minutes``: what judging the set-ups may cost, as it is
    reckoned from the size of the data; a set-up that does not fit is not tried.

    ``country``: whose holidays are among the calendar of the steps ahead, null for none;
    ``time_zone``: of the calendar. ``output``: the experiment file of the choice, null for
    ``conf/experiment/{name}_auto.yaml``.
    """

    minutes: PositiveFloat = 5.0
    country: str | None = None
    time_zone: str = "UTC"
    output: Path | None = None
