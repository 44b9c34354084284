"""The composed configuration, frozen and checked: an unknown key or a wrong value is named by its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, SerializeAsAny, field_validator, model_validator
from pydantic_core import to_jsonable_python

from framework.errors import ConfigError, NotInstalledError, suggest
from framework.hookspecs import Kind
from framework.interfaces.options import Duration, Options
from framework.interfaces.views import FeatureSet, GapPolicy
from framework.literals import check_leaves, declared, free
from framework.names import check_names
from framework.plugins import Plugins
from framework.secrets import masked
from framework.validated import validate
from framework.written import write

#: Config groups that select a component; ``baseline`` selects a model too.
GROUPS: dict[str, Kind] = {
    "source": "source",
    "retrieval": "retrieval",
    "preprocessor": "preprocessor",
    "model": "model",
    "baseline": "model",
    "registry": "registry",
    "serving": "serving",
    "tuner": "tuner",
    "compute": "compute",
}


class Paths(Options):
    """``state``: the folder that holds everything a project makes; deleting it starts afresh."""

    state: Path


ShortPolicy = Literal["refuse", "drop", "keep"]


class PanelConfig(Options):
    """Which columns are forecast, at what step, how far. ``columns``: features of the views to use, null for all.

    ``short``: what is done with a series from which nothing can be learned, see :mod:`framework.series`: ``refuse`` to train, ``drop`` it
    from the run, or ``keep`` it, unlearned, until it is long enough to be forecast. ``new``: a series that a pair was not trained on gets a
    ``forecast`` like any other, or none (``refuse``: ``unknown_entity``). ``unused``: what is done about covariates that the model cannot
    use: ``warn`` in the result, or ``refuse``.
    """

    targets: tuple[str, ...] = Field(min_length=1)
    frequency: str
    horizon: PositiveInt
    season_length: PositiveInt
    columns: tuple[str, ...] | None = None
    known: tuple[str, ...] = ()
    gaps: GapPolicy = "refuse"
    short: ShortPolicy = "refuse"
    new: Literal["forecast", "refuse"] = "forecast"
    unused: Literal["warn", "refuse"] = "warn"

    @field_validator("frequency")
    @classmethod
    def _known_frequency(cls, alias: str) -> str:
        from framework.frequency import Frequency  # brings numpy

        return Frequency.parse(alias).alias


class BacktestConfig(Options):
    """Rolling origins, counted back from the last step: ``folds`` origins, ``step`` apart, ``gap`` steps after each fit's last row.

    ``window: sliding`` keeps the last ``window_length`` steps of each fit; ``expanding`` keeps all. ``refit: false`` fits once, on what the
    first origin knows, and forecasts from every origin with that. ``compare``: further models, with their default options, that
    ``run=backtest`` judges on the same windows. ``as_known``: a fold learns and forecasts from the versions of rows that were created by
    the end of its origin; the actuals are the newest ones.
    """

    folds: PositiveInt = 4
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
    """What a pair must reach to be promoted; null leaves a check out. Every limit holds for each target.

    ``metric``: compared with the incumbent's, at most ``1 + margin`` times, and the seasonal naive's, at most ``1 + baseline_margin``
    times. ``worst_series``: the largest ratio of a series' mean absolute error to the incumbent's. ``bias``: the largest size of
    the bias relative to the mean actual. ``coverage``: the largest distance of a quantile's empirical share from its level.
    """

    metric: str = "MAE"
    margin: float = 0.0
    baseline_margin: float = 0.0
    worst_series: float | None = Field(default=None, gt=0)
    bias: float | None = Field(default=None, gt=0)
    coverage: float | None = Field(default=None, gt=0)


class PredictConfig(Options):
    """``run=predict``: which pair, which entities (null: all), from which origin (null: the newest), to which file.

    ``rows``: a Parquet file of rows as ``POST /predict`` takes them, instead of what training reads. ``future``: beside it, a file of the
    columns known in advance at the steps after those rows. ``piece``: how many rows or entities are in memory at once.
    """

    pair: str = "latest"
    entities: tuple[dict[str, str | int | bool], ...] | None = None
    rows: Path | None = None
    future: Path | None = None
    piece: PositiveInt = 20_000
    output: Path | None = None


class IngestConfig(Options):
    """``removed``: what is done about stored rows that a source which gives all of its rows, such as a file, no longer has.

    ``warn`` (default) names them in the result and keeps them; ``keep`` says nothing; ``remove`` takes them out of the store.
    """

    removed: Literal["warn", "keep", "remove"] = "warn"


class MaterializeConfig(Options):
    """``run=materialize``: ``views`` (null: all). ``incremental``: from ``overlap`` before what is online already, for rows that came late,
    instead of everything from ``start``.
    """

    views: tuple[str, ...] | None = None
    incremental: bool = False
    overlap: Duration = timedelta(days=1)


class VerifyConfig(Options):
    """``run=verify what=features``: how many entities, drawn by ``seed``, are compared."""

    sample: PositiveInt = 100


class TuneConfig(Options):
    """``run=tune``: what is minimised and when to stop; null is no limit.

    ``metric`` of ``target`` (null: the first), over the folds: their ``mean``, or the ``worst`` of them. ``trials``, ``seconds``,
    ``patience`` (trials in a row that do not improve the best): the first limit that is met ends the search. ``output``: the
    experiment file of the best configuration, null for ``conf/experiment/{name}_tuned.yaml``. ``register_best``: refit it
    and register the pair.
    """

    metric: str = "MAE"
    target: str | None = None
    over: Literal["mean", "worst"] = "mean"
    trials: PositiveInt | None = 20
    seconds: PositiveFloat | None = None
    patience: PositiveInt | None = None
    output: Path | None = None
    register_best: bool = True

    @model_validator(mode="after")
    def _limited(self) -> TuneConfig:
        if self.trials is None and self.seconds is None and self.patience is None:
            raise ValueError("give a limit: trials, seconds or patience")
        return self


class RayConfig(Options):
    """For every component that uses Ray. ``address``: an existing cluster (``auto``, ``HOST:PORT``), null to start one for the run alone.

    ``num_cpus``: of the one that is started, null for all of this machine. ``dashboard``: start it too.
    """

    address: str | None = None
    num_cpus: PositiveInt | None = None
    dashboard: bool = False


class Selected(Options):
    """A selected component and its validated options; None while its distribution is not installed."""

    name: str
    options: SerializeAsAny[Options] | None


class Config(Options):
    """One run, composed."""

    run: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int
    alias: str | None
    version: PositiveInt | None
    at: str | None
    start: str | None
    reason: str | None
    force: bool
    quantiles: tuple[float, ...]
    paths: Paths
    panel: PanelConfig
    features: FeatureSet
    backtest: BacktestConfig
    validation: ValidationConfig
    gate: GateConfig
    predict: PredictConfig
    what: Literal["pairs", "features"] = "pairs"
    verify: VerifyConfig = VerifyConfig()
    ingest: IngestConfig = IngestConfig()
    materialize: MaterializeConfig = MaterializeConfig()
    schedule: str | None = None
    resume: bool = False
    space: dict[str, Any] = Field(default_factory=dict)
    tune: TuneConfig = TuneConfig()
    ray: RayConfig = RayConfig()
    components: dict[str, Selected]
    text: str  # the composed config as YAML, as it is recorded: ``${oc.env:…}`` as it was written

    @field_validator("features")
    @classmethod
    def _known_frequencies(cls, features: FeatureSet) -> FeatureSet:
        from framework.frequency import Frequency  # brings numpy

        for name, view in features.views.items():
            if view.frequency is not None:
                Frequency.parse(view.frequency, f"features.views.{name}.frequency")
        return features

    @field_validator("quantiles")
    @classmethod
    def _quantiles(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or any(not 0 < q < 1 for q in value):
            raise ValueError("quantiles must rise and lie between 0 and 1, such as [0.1, 0.9]")
        if len({f"{q:g}" for q in value}) < len(value):
            raise ValueError("quantiles are told apart by six digits, such as the column q0.123457; leave out those that share a name")
        return value

    @field_validator("schedule")
    @classmethod
    def _schedule(cls, value: str | None) -> str | None:
        if value is not None:
            from cronsim import CronSim, CronSimError  # few runs have one

            try:
                CronSim(value, datetime.now(UTC))
            except CronSimError as error:
                raise ValueError(f"no cron expression, such as '*/15 * * * *': {error}") from error
        return value

    def component(self, group: str) -> Selected:
        return self.components[group]


def build_config(composed: DictConfig, plugins: Plugins, *, recorded: bool = False) -> Config:
    """Check a composed config.

    Args:
        composed: As Hydra gives it, or a recorded text.
        plugins: Whose options the selected components have.
        recorded: A text that an earlier version may have recorded, with secrets written out: they are not refused.

    Raises:
        ConfigError: With the path of every wrong key; for a secret that is written out, and a variable that is not set.
    """
    written = write(composed)
    check_leaves(written.leaves, partial(is_secret, written.tree, plugins), refuse=not recorded)
    raw: Any = OmegaConf.to_container(composed, resolve=False)
    _check_sections(raw)
    try:
        tree: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_unresolved(error, raw)) from error
    tree.pop("feature_store", None)
    source_of = _interpolations(raw)
    components: dict[str, Any] = {}
    for group, kind in GROUPS.items():
        node = tree.pop(group, None)
        if node is None:
            raise ConfigError(f"{group}: nothing is selected; {group}=NAME. Installed: {', '.join(plugins.names(kind)) or 'none'}.")
        components[group] = _select(group, kind, dict(node), plugins, source_of)
    if tree.get("features") is None:
        raise ConfigError("features: nothing is selected; choose an experiment (+experiment=NAME) or features=NAME.")
    plugins.find("run", tree["run"])
    config = validate(Config, {**tree, "components": components, "text": written.text()}, "")
    check_names(config)
    return config


def is_secret(tree: Mapping[str, Any], plugins: Plugins, path: tuple[str, ...]) -> bool:
    """Whether the value at ``path`` of a composed config is a secret: the options of what ``tree`` selects say so, or its name."""
    section, *rest = path
    if section in GROUPS:
        node = tree.get(section)
        name = node.get("name") if isinstance(node, Mapping) else None
        component = next((c for c in plugins.components() if (c.kind, c.name) == (GROUPS[section], name)), None)
        return free(rest) if component is None else declared(component.options, rest)
    field = Config.model_fields.get(section)
    return free(path) if field is None else declared(field.annotation, rest, section)


def sections() -> tuple[str, ...]:
    """The top-level keys that a configuration may have."""
    made = {"components", "text"}
    return tuple(sorted({*Config.model_fields, *GROUPS, "feature_store"} - made))


def _check_sections(tree: dict[str, Any]) -> None:
    """Raise ConfigError for a key of the top level that is unknown, and for a section that is a single value."""
    for key, value in tree.items():
        if key not in sections():
            raise ConfigError(f"{key}: unknown key.{suggest(str(key), sections())} Known: {', '.join(sections())}.")
        field = Config.model_fields.get(key)
        options = field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Options)
        if (key in GROUPS or options) and value is not None and not isinstance(value, dict):
            raise ConfigError(f"{key}: keys with values are needed there, such as {key}.KEY=VALUE; got {masked(repr(value))[:80]}.")


def _places(node: Any, path: str, text: str) -> list[str]:
    """The keys at which a value holds ``text``."""
    if isinstance(node, str):
        return [path] if text in node else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in items for place in _places(value, f"{path}.{key}" if path else str(key), text)]


def _interpolations(raw: Any) -> Callable[[str], str]:
    """Name the key that a value was written at: ``panel.season_length`` where a model's own is an interpolation of it."""

    def source_of(path: str) -> str:
        node = raw
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        reference = re.fullmatch(r"\$\{([\w.]+)\}", node) if isinstance(node, str) else None
        return path if reference is None else reference[1]

    return source_of


def _select(group: str, kind: Kind, node: dict[str, Any], plugins: Plugins, source_of: Callable[[str], str]) -> Selected:
    name = node.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{group}.name: missing; say which {kind} it is. Installed: {', '.join(plugins.names(kind))}.")
    try:
        options = validate(plugins.find(kind, name).options, node, group, source_of)
    except NotInstalledError:  # the run may not need it; Run.make says what to install when it does
        return Selected(name=name, options=None)
    return Selected(name=name, options=options)


def default_node(name: str, options: type[Options]) -> dict[str, Any]:
    """The node that ``group=name`` selects: every option with its default, ``???`` where one must be given."""
    node: dict[str, Any] = {"name": name}
    for key, field in options.model_fields.items():
        default = "???" if field.is_required() else field.get_default(call_default_factory=True)
        node[key] = default.get_secret_value() if isinstance(default, SecretStr) else to_jsonable_python(default)
    return node


def _unresolved(error: OmegaConfBaseException, raw: Any) -> str:
    """What cannot be resolved, by the key that it is written at: others may refer to that one."""
    missing = re.search(r"'([^']+)'", str(error))
    written = _places(raw, "", f"{missing[1]}}}") + _places(raw, "", f"{missing[1]},") if missing else []
    where = written[0] if written else str(error.full_key or error.key)
    if unset := re.search(r"Environment variable '(.+?)' not found", str(error)):
        return f"{where}: the environment variable {unset[1]} is not set."
    if isinstance(error, MissingMandatoryValue):
        return f"{where}: missing; give it a value, such as {where}=… on the command line."
    return f"{where}: {' '.join(str(error).partition('full_key:')[0].split())}"
