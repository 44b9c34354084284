"""The composed configuration, frozen and checked: an unknown key or a wrong value is named by its
path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import Field, PositiveInt, SerializeAsAny, field_validator

from framework.config.catalog import Plugins
from framework.config.groups import GROUPS
from framework.config.literals import check_leaves, declared, free
from framework.config.names import check_names
from framework.config.sections import (
    BacktestConfig,
    GateConfig,
    MaterializeConfig,
    PanelConfig,
    Paths,
    PredictConfig,
    RayConfig,
    TuneConfig,
    ValidationConfig,
    VerifyConfig,
)
from framework.config.written import write
from framework.errors import ConfigError, NotInstalledError, suggest
from framework.features.views import FeatureSet
from framework.interfaces.plugin import Kind
from framework.options import Options, validate
from framework.secrets import masked


class IngestConfig(Options):
    """``removed``: what is done about stored rows that a source which gives all of its rows, such
    as a file, no longer has.

    ``warn`` (default) names them in the result and keeps them; ``keep`` says nothing; ``remove``
    takes them out of the store.
    """

    removed: Literal["warn", "keep", "remove"] = "warn"


class Selected(Options):
    """A selected component and its validated options; None while its distribution is not
    installed.
    """

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
        from framework.data.frequency import Frequency  # brings numpy

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
            raise ValueError(
                "quantiles are told apart by six digits, such as the column q0.123457; "
                "leave out those that share a name"
            )
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

    Args: composed: As Hydra gives it, or a recorded text. plugins: Whose options the selected
        components have. recorded: A text that an earlier version may have recorded, with secrets
        written out: they are not refused.

    Raises: ConfigError: With the path of every wrong key; for a secret that is written out, and a
        variable that is not set.
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
            raise ConfigError(
                f"{group}: nothing is selected; {group}=NAME. Installed: "
                f"{', '.join(plugins.names(kind)) or 'none'}."
            )
        components[group] = _select(group, kind, dict(node), plugins, source_of)
    if tree.get("features") is None:
        raise ConfigError(
            "features: nothing is selected; choose an experiment (+experiment=NAME) or "
            "features=NAME."
        )
    plugins.find("run", tree["run"])
    config = validate(Config, {**tree, "components": components, "text": written.text()}, "")
    check_names(config.features, config.panel)
    return config


def is_secret(tree: Mapping[str, Any], plugins: Plugins, path: tuple[str, ...]) -> bool:
    """Whether the value at ``path`` of a composed config is a secret: the options of what ``tree``
    selects say so, or its name.
    """
    section, *rest = path
    if section in GROUPS:
        node = tree.get(section)
        name = node.get("name") if isinstance(node, Mapping) else None
        component = next(
            (c for c in plugins.components() if (c.kind, c.name) == (GROUPS[section], name)), None
        )
        return free(rest) if component is None else declared(component.options, rest)
    field = Config.model_fields.get(section)
    return free(path) if field is None else declared(field.annotation, rest, section)


def sections() -> tuple[str, ...]:
    """The top-level keys that a configuration may have."""
    made = {"components", "text"}
    return tuple(sorted({*Config.model_fields, *GROUPS, "feature_store"} - made))


def _check_sections(tree: dict[str, Any]) -> None:
    """Raise ConfigError for a key of the top level that is unknown, and for a section that is a
    single value.
    """
    for key, value in tree.items():
        if key not in sections():
            raise ConfigError(
                f"{key}: unknown key.{suggest(str(key), sections())} Known: "
                f"{', '.join(sections())}."
            )
        field = Config.model_fields.get(key)
        options = (
            field is not None
            and isinstance(field.annotation, type)
            and issubclass(field.annotation, Options)
        )
        if (key in GROUPS or options) and value is not None and not isinstance(value, dict):
            raise ConfigError(
                f"{key}: keys with values are needed there, such as {key}.KEY=VALUE; got "
                f"{masked(repr(value))[:80]}."
            )


def _places(node: Any, path: str, text: str) -> list[str]:
    """The keys at which a value holds ``text``."""
    if isinstance(node, str):
        return [path] if text in node else []
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [
        place
        for key, value in items
        for place in _places(value, f"{path}.{key}" if path else str(key), text)
    ]


def _interpolations(raw: Any) -> Callable[[str], str]:
    """Name the key that a value was written at: ``panel.season_length`` where a model's own is an
    interpolation of it.
    """

    def source_of(path: str) -> str:
        node = raw
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        reference = re.fullmatch(r"\$\{([\w.]+)\}", node) if isinstance(node, str) else None
        return path if reference is None else reference[1]

    return source_of


def _select(
    group: str, kind: Kind, node: dict[str, Any], plugins: Plugins, source_of: Callable[[str], str]
) -> Selected:
    name = node.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"{group}.name: missing; say which {kind} it is. Installed: "
            f"{', '.join(plugins.names(kind))}."
        )
    try:
        options = validate(plugins.find(kind, name).options, node, group, source_of)
    except NotInstalledError:  # the run may not need it; Run.make says what to install when it does
        return Selected(name=name, options=None)
    return Selected(name=name, options=options)


def _unresolved(error: OmegaConfBaseException, raw: Any) -> str:
    """What cannot be resolved, by the key that it is written at: others may refer to that one."""
    missing = re.search(r"'([^']+)'", str(error))
    written = (
        _places(raw, "", f"{missing[1]}}}") + _places(raw, "", f"{missing[1]},") if missing else []
    )
    where = written[0] if written else str(error.full_key or error.key)
    if unset := re.search(r"Environment variable '(.+?)' not found", str(error)):
        return f"{where}: the environment variable {unset[1]} is not set."
    if isinstance(error, MissingMandatoryValue):
        return f"{where}: missing; give it a value, such as {where}=… on the command line."
    return f"{where}: {' '.join(str(error).partition('full_key:')[0].split())}"
