"""The composed configuration, frozen and checked: an unknown key or a wrong value is named by its
path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Literal, get_args, get_origin

from omegaconf import DictConfig, OmegaConf, flag_override
from pydantic import Field, PositiveInt, SerializeAsAny, field_validator, model_validator

from framework.config.automatic import written_out
from framework.config.catalog import Plugins
from framework.config.ensembles import members_of
from framework.config.groups import DEFAULTS, GROUPS
from framework.config.layout import Layout
from framework.config.literals import check_leaves, declared, free
from framework.config.names import check_names
from framework.config.resolving import resolve, source_of_values
from framework.config.sections import (
    AutoConfig,
    BacktestConfig,
    GateConfig,
    IngestConfig,
    PanelConfig,
    Paths,
    PluginsConfig,
    ValidationConfig,
)
from framework.config.written import write
from framework.errors import ConfigError, UnavailableError, suggest
from framework.features.views import FeatureSet
from framework.interfaces.plugin import Kind
from framework.options import Options, validate
from framework.secrets import masked


class Selected(Options):
    """A selected component and its validated options; None while it cannot be used here."""

    name: str
    options: SerializeAsAny[Options] | None


class Settings(Options):
    """The keys that need no experiment, and what a run, an extension or a plugin declares by
    :meth:`section`.

    ``run``: what is done, one of those that ``--help`` lists. ``name``: of the pair in the
    registry, and of MLflow's experiment. ``seed``: of every fit, and of every sample that is drawn.
    ``alias``: the alias that a run moves, or whose pair it takes. ``version``: the pair that a run
    takes; null for the newest, or that of the alias. ``at``: the moment (UTC) up to which
    ``materialize`` writes, from which ``predict`` forecasts, and for which ``history`` says what
    was live; null for the newest. ``start``: the first moment (UTC) of what ``materialize`` writes,
    ``monitor`` judges and ``compare`` compares; null for all. ``reason``: why an alias moves, for
    the history. ``quantiles``: the levels that are forecast beside the mean, rising, between 0 and
    1.
    """

    run: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int
    alias: str | None
    version: PositiveInt | None
    at: str | None
    start: str | None
    reason: str | None
    quantiles: tuple[float, ...]
    paths: Paths
    backtest: BacktestConfig
    validation: ValidationConfig
    gate: GateConfig
    ingest: IngestConfig = IngestConfig()
    auto: AutoConfig = AutoConfig()
    plugins: PluginsConfig = PluginsConfig()
    components: dict[str, Selected]
    sections: dict[str, SerializeAsAny[Options]] = Field(default_factory=dict)
    text: str  # the composed config as YAML, as it is recorded: ``${oc.env:…}`` as it was written

    @model_validator(mode="before")
    @classmethod
    def _primary_rows_hold_for_a_step(cls, tree: Any) -> Any:
        """Give the primary view a ttl of one step, where it has none and the step is known."""
        try:
            alias, features = tree["panel"]["frequency"], tree["features"]
            view = features["views"][features["primary"]]
        except (KeyError, TypeError):
            return tree  # what is missing is named by its own check
        if not isinstance(view, dict) or not isinstance(alias, str) or view.get("ttl") is not None:
            return tree
        from framework.data.frequency import Frequency  # brings numpy

        try:
            step = Frequency.parse(alias).longest
        except ConfigError:
            return tree
        views = {**features["views"], features["primary"]: {**view, "ttl": step}}
        return {**tree, "features": {**features, "views": views}}

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

    def component(self, group: str) -> Selected:
        return self.components[group]

    def section(self, name: str) -> Any:
        """Give the options that a run, an extension or a plugin's section declares.

        Args:
            name: ``materialize`` for those of ``run=materialize``, ``extensions.NAME`` for those of
                an extension, ``ray`` for the section of that name.
        """
        return self.sections[name]


class Config(Settings):
    """One run, composed: the keys that several runs share, and those of the experiment.

    ``panel`` and ``features`` are not there in a run that needs no experiment and has none.
    """

    panel: PanelConfig
    features: FeatureSet

    @property
    def has_experiment(self) -> bool:
        """Say whether an experiment is chosen, so that ``panel`` and ``features`` are there."""
        return "panel" in self.model_fields_set

    @field_validator("features")
    @classmethod
    def _known_frequencies(cls, features: FeatureSet) -> FeatureSet:
        from framework.data.frequency import Frequency  # brings numpy

        for name, view in features.views.items():
            if view.frequency is not None:
                Frequency.parse(view.frequency, f"features.views.{name}.frequency")
        return features


#: What an experiment selects: absent where a run needs none and none is chosen.
_OF_EXPERIMENT = (
    *("source", "features", "panel"),
    *("retrieval", "preprocessor", "model", "baseline"),
)


def needs_experiment(tree: DictConfig, plugins: Plugins) -> bool:
    """Say whether the selected run cannot do with this configuration unless it has a source.

    Args:
        tree: As Hydra gives it, or a recorded text.
        plugins: Whose runs say whether they need an experiment.

    Raises:
        ConfigError: There is no such run.
    """
    if tree.get("source") is not None:
        return True
    return plugins.find("run", str(tree.get("run"))).experiment


@lru_cache(maxsize=16)
def layout_of(plugins: Plugins) -> Layout:
    """Tell which keys a configuration has with these plugins."""
    return Layout(Config, plugins)


def build_config(source: DictConfig, plugins: Plugins, *, is_recorded: bool = False) -> Config:
    """Check a composed config.

    Args:
        source: As Hydra gives it, or a recorded text.
        plugins: Whose runs, extensions and selected components have the options.
        is_recorded: Whether ``source`` is a recorded text. Secrets that an earlier version wrote
            out are not refused, and sections of plugins that are not installed here are left out.

    Raises:
        ConfigError: With the path of every wrong key; for a secret that is written out, and a
            variable that is not set.
    """
    layout = layout_of(plugins)
    whole = OmegaConf.merge(layout.defaults(), written_out(source, plugins))
    assert isinstance(whole, DictConfig)  # both are mappings
    text = write(whole)
    check_leaves(text.leaves, partial(is_secret, text.tree, plugins), refuse=not is_recorded)
    raw: Any = OmegaConf.to_container(whole, resolve=False)
    names = layout.names()
    unknown = [key for key in raw if key not in names]
    if unknown and not is_recorded:
        raise ConfigError(
            f"{unknown[0]}: unknown key.{suggest(str(unknown[0]), names)} Known: "
            f"{', '.join(names)}."
        )
    _check_mappings(raw, layout)
    bare = not needs_experiment(source, plugins)
    _leave_out(whole, (*unknown, *layout.absent, *(_OF_EXPERIMENT if bare else ())), layout)
    tree = resolve(whole)
    source_of = source_of_values(raw)
    components: dict[str, Any] = {}
    for group, kind in GROUPS.items():
        if bare and group in _OF_EXPERIMENT:
            continue
        node = tree.pop(group, None)
        if node is None and group in DEFAULTS:
            node = {"name": DEFAULTS[group]}
        if node is None:
            raise ConfigError(
                f"{group}: nothing is selected; {group}=NAME. Installed: "
                f"{', '.join(plugins.names(kind)) or 'none'}."
            )
        components[group] = _select(group, kind, dict(node), plugins, source_of)
    if not bare and tree.get("features") is None:
        raise ConfigError(
            "features: nothing is selected; choose an experiment (+experiment=NAME) or "
            "features=NAME."
        )
    plugins.find("run", tree["run"])
    sections = layout.read(tree, tree["run"], source_of)
    own = {key: value for key, value in tree.items() if key in Config.model_fields}
    parts = {"components": components, "sections": sections, "text": text.text()}
    if bare:
        settings = validate(Settings, {**own, **parts}, "")
        return Config.model_construct(**dict(settings))
    config = validate(Config, {**own, **parts}, "")
    check_names(config.features, config.panel)
    return config


def is_secret(tree: Mapping[str, Any], plugins: Plugins, path: tuple[str, ...]) -> bool:
    """Say whether the value at ``path`` of a composed config is a secret: the options of what
    ``tree`` selects say so, or its name.
    """
    section, *rest = path
    if section in GROUPS:
        node = tree.get(section)
        name = node.get("name") if isinstance(node, Mapping) else None
        component = next(
            (c for c in plugins.components() if (c.kind, c.name) == (GROUPS[section], name)), None
        )
        return free(rest) if component is None else declared(component.options, rest)
    owner = layout_of(plugins).owner(path)
    return free(path) if owner is None else declared(*owner)


def _check_mappings(tree: dict[str, Any], layout: Layout) -> None:
    """Raise ConfigError for a section that is a single value."""
    for key, value in tree.items():
        if layout.needs_mapping(key) and value is not None and not isinstance(value, dict):
            example = next(_choices(key, value), f"{key}.KEY=VALUE")
            raise ConfigError(
                f"{key}: keys with values are needed there, such as {example}; got "
                f"{masked(repr(value))[:80]}."
            )


def _choices(section: str, value: Any) -> Iterator[str]:
    """Give the overrides of a section of the core whose keys have ``value`` among their words."""
    field = Config.model_fields.get(section)
    for name, inner in getattr(field and field.annotation, "model_fields", {}).items():
        if get_origin(inner.annotation) is Literal and value in get_args(inner.annotation):
            yield f"{section}.{name}={value}"


def _leave_out(whole: DictConfig, keys: Iterable[str], layout: Layout) -> None:
    """Take ``keys`` out of a configuration, and what other runs than the selected one would
    require.
    """
    with flag_override(whole, ["struct", "readonly"], [False, False]):
        for key in keys:
            whole.pop(key, None)
        for part in layout.parts.values():
            if part.run in (None, whole.get("run")):
                continue
            section = whole.get(part.name) if part.has_section else None
            nodes = [(whole, part.top)]
            if isinstance(section, DictConfig):
                nodes.append((section, tuple(part.options.model_fields)))
            for node, names in nodes:
                for name in (each for each in names if OmegaConf.is_missing(node, each)):
                    del node[name]


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
        for member, inner in members_of(name, node):
            path = f"{group}.members.{member}"
            values = {key: value for key, value in inner.items() if key != "name"}
            validate(plugins.find(kind, inner["name"]).options, values, path, source_of)
    except UnavailableError:  # the run may not need it; Run.make says what to do when it does
        return Selected(name=name, options=None)
    return Selected(name=name, options=options)
