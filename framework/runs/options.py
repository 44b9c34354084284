"""The options of each run: keys that are of use to it alone. Light: read at every start."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from framework.data.vocabulary import CPU, Device, GapPolicy
from framework.monitoring.alerts import AlertRule
from framework.options import TOP_LEVEL, Duration, Options, SecretUrl
from framework.secrets import masked_tree


def _cron(value: str | None) -> str | None:
    """Refuse what is no cron expression."""
    if value is not None:
        from cronsim import CronSim, CronSimError  # few runs have one

        try:
            CronSim(value, datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"no cron expression, such as '*/15 * * * *': {error}") from error
    return value


def _as_reference(value: Any) -> Any:
    """Give a version as the text of its number."""
    return str(value) if type(value) is int else value


class InitOptions(Options):
    """The data of a new project, and the decisions that replace guesses.

    ``kind``: a project from data, or a plugin called ``name``: a distribution with a model that
    works. ``data``: a file, a glob, the URL of a database. ``table``: the name of the table and
    the view, null for the file's. ``name``: of the experiment, null for the table's. ``reading``:
    options of the source's table, such as ``decimal``. ``overwrite``: in a folder that has a
    project already. The others are guessed unless they are given, ``time_zone`` by the changes of
    the clock.
    """

    kind: Annotated[Literal["project", "plugin"], TOP_LEVEL] = "project"
    data: SecretUrl | None = None
    table: Annotated[str | None, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")] = None
    name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")] = None
    reading: dict[str, Any] = Field(default_factory=dict)
    overwrite: bool = False
    time: str | None = None
    entity: tuple[str, ...] | None = None
    targets: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    known: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    time_zone: str | None = None
    frequency: str | None = None
    horizon: PositiveInt | None = None
    season_length: PositiveInt | None = None
    gaps: GapPolicy | None = None
    short: Literal["refuse", "drop", "keep"] | None = None
    model: str | None = None
    folds: PositiveInt | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        from zoneinfo import available_timezones

        if value is not None and value not in available_timezones():
            raise ValueError("no time zone, such as Europe/Berlin or America/New_York")
        return value


class DashboardsOptions(Options):
    """The folder that is written, and what the alerts hold the servers to.

    ``availability``: per cent of the requests that are not answered with 5xx. ``fast``: per cent of
    the requests to ``routes`` (a regular expression) that are answered within ``seconds``.
    """

    output: Path = Path("dashboards")
    availability: float = Field(default=99.9, gt=0, lt=100)
    fast: float = Field(default=99.0, gt=0, lt=100)
    seconds: PositiveFloat = 0.5
    routes: str = "/predict.*"

    @field_validator("routes")
    @classmethod
    def _expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"'{value}' is no regular expression: {error}") from error
        return value


class MaterializeOptions(Options):
    """``views`` (null: all). ``incremental``: from ``overlap`` before what is online already, for
    rows that came late, instead of everything from ``start``. ``schedule``: a cron expression
    (UTC), null for once.
    """

    schedule: Annotated[str | None, TOP_LEVEL, AfterValidator(_cron)] = None
    views: tuple[str, ...] | None = None
    incremental: bool = False
    overlap: Duration = timedelta(days=1)


class DiffOptions(Options):
    """``against``: the pair that another one is compared with, a version or an alias."""

    against: Annotated[str, TOP_LEVEL, BeforeValidator(_as_reference)]


class PromoteOptions(Options):
    """``force``: overrule the gate; it needs a ``reason``."""

    force: Annotated[bool, TOP_LEVEL] = False


class PredictOptions(Options):
    """The pair (an alias, a version number or ``latest``), the entities (null: all), the
    origin (null: the newest), to which file.

    ``rows``: a Parquet file of rows as ``POST /predict`` takes them, instead of what training
    reads. ``future``: beside it, a file of the columns known in advance at the steps after those
    rows. ``piece``: how many rows or entities are in memory at once. ``device``: where the model
    forecasts: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU where there is one and the model
    can use it.
    """

    pair: Annotated[str, BeforeValidator(_as_reference)] = "latest"
    entities: tuple[dict[str, str | int | bool], ...] | None = None
    rows: Path | None = None
    future: Path | None = None
    piece: PositiveInt = 20_000
    output: Path | None = None
    device: Device = CPU


class BackupOptions(Options):
    """``output``: the folder, or the archive (``.tar``, ``.tar.gz``, ``.tgz``), that is written. It
    must not exist.
    """

    output: Path


class RestoreOptions(Options):
    """``input``: the folder or the archive that ``run=backup`` wrote."""

    input: Path


class VerifyOptions(Options):
    """``what``: the registry, or what serving reads beside what training reads. ``sample``: how
    many entities, drawn by ``seed``, are compared then. ``take_up``: register again, each after its
    proof, the pairs that a ledger does not know because it is older than MLflow's database.
    """

    what: Annotated[Literal["pairs", "features"], TOP_LEVEL] = "pairs"
    sample: PositiveInt = 100
    take_up: bool = False


class AlertOptions(Options):
    """``rules``: by the name of the alert. ``sinks``: by a name of your own where alerts go, the
    node of an alert sink, ``{name: SINK, url: ...}``; what it leaves out has that sink's default.
    Without any they are lines on stderr.
    """

    rules: dict[str, AlertRule] = Field(default_factory=dict)
    sinks: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], dict[str, Any]],
        PlainSerializer(masked_tree),
    ] = Field(default_factory=dict)


class RetrainOptions(Options):
    """The training that an alert starts, and what becomes of its pairs.

    ``alerts``: the names of ``monitor.alerts.rules`` that may; none without. ``run``: ``train``, or
    ``tune`` for a search first, whose best parameters the pair is trained with. ``recent``: how
    many seasons (``panel.season_length`` steps) of rows since the estimated change each fit of a
    second candidate needs, which is trained on these rows alone; null for no such candidate.
    ``alias``: what moves to the better of the pairs that pass their gate. ``gain``: the share by
    which a new pair's MAE must be lower than that of what was served since the change, for the
    target of the alert; other targets keep to ``gate.margin``. ``cooldown`` between two trainings,
    ``per_day`` at most.
    """

    alerts: tuple[str, ...] = ()
    run: Literal["train", "tune"] = "train"
    recent: PositiveInt | None = 4
    alias: str = "staging"
    gain: float = Field(default=0.02, ge=0, lt=1)
    cooldown: Duration = timedelta(days=1)
    per_day: PositiveInt = 1


class MonitorOptions(Options):
    """``alpha``: the probability of any false alarm of one arm, pair and target in a review period
    of ``review`` observations. ``false_share``: how many of the series that are named as drifted
    may be false. ``anomaly``: the probability that a normal actual is called an anomaly. ``worst``:
    series that are listed. ``sample``: how many entities, drawn by ``seed``, are looked up as a
    server does, for the skew between serving and training; 0 for none. ``alerts``: what is
    alerted, and where to. ``retrain``: what an alert may start. ``follow``: whether the levels of
    the prediction intervals follow the misses of what was served; servers take them up.
    ``schedule``: a cron expression (UTC), null for once.
    """

    schedule: Annotated[str | None, TOP_LEVEL, AfterValidator(_cron)] = None
    alpha: float = Field(default=0.05, gt=0, lt=1)
    false_share: float = Field(default=0.1, gt=0, lt=1)
    review: PositiveInt = 365
    anomaly: float = Field(default=0.01, gt=0, lt=1)
    worst: PositiveInt = 10
    sample: NonNegativeInt = 20
    follow: bool = False
    alerts: AlertOptions = AlertOptions()
    retrain: RetrainOptions = RetrainOptions()

    @model_validator(mode="after")
    def _known_alerts(self) -> MonitorOptions:
        for name in self.retrain.alerts:
            if name not in self.alerts.rules:
                known = ", ".join(self.alerts.rules) or "none"
                raise ValueError(f"retrain.alerts: no rule is called '{name}'; there is {known}")
        return self


class TuneOptions(Options):
    """The goal of a search and its limits; null is no limit.

    ``metric`` of ``target`` (null: the first, ``"*"``: the mean over all), over the folds: their
    ``mean``, or the ``worst`` of them. ``trials``, ``seconds``, ``patience`` (trials in a row that
    do not improve the best): the first limit that is met ends the search. ``output``: the
    experiment file of the best configuration, null for ``conf/experiment/{name}_tuned.yaml``; one
    that was edited is not replaced. ``register_best``: refit it and register the pair. ``space``:
    the options that are searched. ``resume``: go on with a search that was interrupted.
    """

    space: Annotated[dict[str, Any], TOP_LEVEL] = Field(default_factory=dict)
    resume: Annotated[bool, TOP_LEVEL] = False
    metric: str = "MAE"
    target: str | None = None
    over: Literal["mean", "worst"] = "mean"
    trials: PositiveInt | None = 20
    seconds: PositiveFloat | None = None
    patience: PositiveInt | None = None
    output: Path | None = None
    register_best: bool = True

    @model_validator(mode="after")
    def _limited(self) -> TuneOptions:
        if self.trials is None and self.seconds is None and self.patience is None:
            raise ValueError("give a limit: trials, seconds or patience")
        return self
