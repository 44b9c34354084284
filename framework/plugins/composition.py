"""Makes Hydra know what plugins offer: every component is an option of its config group, its
defaults are the YAML node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from hydra._internal import hydra as hydra_program
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins as HydraPlugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from framework.config.catalog import Plugins
from framework.config.config import is_secret, layout_of
from framework.config.groups import GROUPS, default_node
from framework.config.literals import check_leaves
from framework.config.written import Leaf, write
from framework.errors import ConfigError, FrameworkError
from framework.interfaces.plugin import Component
from framework.plugins.discovery import load_plugins
from framework.secrets import MASK, masked


class FrameworkSearchPath(SearchPathPlugin):
    """The core's compositions come after the project's own, so that the project's win."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="framework", path="pkg://framework.conf")


#: The composition that holds the keys of runs, extensions and sections, for ``framework.yaml``.
DECLARED = "framework_declared"


def register(plugins: Plugins) -> None:
    """Offer every component to Hydra, and every key that the plugins declare. Call before
    composing.
    """
    HydraPlugins.instance().register(FrameworkSearchPath)
    store = ConfigStore.instance()
    layout = layout_of(plugins)
    groups = [part.name for part in layout.parts.values() if part.group]
    groups += [name for name, is_group in plugins.missing_sections().items() if is_group]
    node = {"defaults": [*({name: None} for name in groups), "_self_"], **layout.defaults()}
    store.store(name=DECLARED, node=node, provider="framework")
    for group, kind in GROUPS.items():
        offers = store.repo.setdefault(group, {})
        for component in plugins.components():
            if component.kind == kind:
                for name, content in _nodes(component, plugins):
                    offers[f"{name}.yaml"] = _Offer(name, group, content)
        for name in plugins.missing(kind):  # composes without it; Run.make says what to install
            offers[f"{name}.yaml"] = _Offer(name, group, partial(dict, name=name))


class _Offer(ConfigNode):
    """A node of Hydra's store that is made when it is chosen: Hydra copies what it loads.

    To make those of all components takes longer than the rest of what comes before composing.
    """

    def __init__(self, name: str, group: str, content: Callable[[], dict[str, Any]]) -> None:
        super().__init__(f"{name}.yaml", OmegaConf.create(), group, None, "framework")
        self._content = content

    def __copy__(self) -> ConfigNode:
        node = OmegaConf.create(self._content())
        return ConfigNode(self.name, node, self.group, self.package, self.provider)


def _nodes(
    component: Component, plugins: Plugins
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Give the node of a component by its name, and by the one with its distribution,
    ``acme:xgboost``: a project may say it before there is another component of the name.
    """
    yield component.name, partial(default_node, component.name, component.options)
    qualifier = plugins.origin(component).qualifier
    if not component.name.startswith(f"{qualifier}:") and re.fullmatch(r"[\w.-]+", qualifier):
        name = f"{qualifier}:{component.name}"
        yield name, partial(dict, defaults=[component.name, "_self_"], name=name)


#: What Hydra itself is told, and writes down.
_TOLD = ("job.env_set", "launcher", "sweeper")
#: What Hydra adds to the overrides of a run whose configuration has no ``hydra.mode``.
_RUN = "hydra.mode=RUN"


class CheckedLoader(ConfigLoaderImpl):
    """Composes each configuration: of a run, of every job of a sweep, of ``--cfg``. A secret that
    is written out is refused here, before Hydra writes or shows anything.

    ``resolved``: this process shows resolved values; those that are secret are masked.
    """

    plugins: ClassVar[Plugins | None] = None
    resolved: ClassVar[bool] = False

    _prepared: tuple[str | None, list[str], DictConfig] | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a configuration and check it.

        Hydra composes everything twice: it looks for ``hydra.mode`` first, and says so by
        ``validate_sweep_overrides=False``. The first composition is made as the second one will
        be and is kept for it. That saves half of what composing costs.
        """
        prepared, self._prepared = self._prepared, None
        if not validate_sweep_overrides:
            try:
                tree = self._compose(config_name, overrides, RunMode.RUN, from_shell, True)
            except (HydraException, FrameworkError):
                pass  # a sweep, or an error that Hydra meets again where it shows it
            else:
                self._prepared = (config_name, list(overrides), tree)
                return tree
        elif run_mode is RunMode.RUN and prepared and prepared[0] == config_name:
            _, known, tree = prepared
            if overrides == known:
                return tree
            if overrides == [*known, _RUN]:  # Hydra has found no mode
                tree.hydra.mode = RunMode.RUN
                tree.hydra.overrides.hydra.append(_RUN)
                return tree
        return self._compose(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def _compose(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool,
        validate_sweep_overrides: bool,
    ) -> DictConfig:
        tree = super().load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        _refuse_lost_choices(tree, overrides, self.plugins or load_plugins())
        text = write(tree)
        leaves = [
            *text.leaves,
            *_told(tree),
            *(_swept(overrides) if run_mode is RunMode.MULTIRUN else ()),
        ]
        secret = partial(is_secret, text.tree, self.plugins or load_plugins())
        check_leaves(leaves, secret)
        if self.resolved:
            _mask(
                tree,
                [
                    (leaf, MASK if secret(leaf.path) else masked(str(leaf.value())))
                    for leaf in leaves
                    if leaf.parts
                ],
            )
        return tree


def _refuse_lost_choices(tree: DictConfig, overrides: list[str], plugins: Plugins) -> None:
    """Refuse ``model=X`` on the command line where a file's own ``model.name`` wins over it.

    A choice of the project, such as ``model=xgboost_daily``, may bear any component's name.
    """
    for override in OverridesParser.create().parse_overrides(overrides):
        group, choice = override.key_or_group, override.value()
        kind = GROUPS.get(group)
        if kind is None or override.is_sweep_override() or not isinstance(choice, str):
            continue
        if choice not in {c.name for c in plugins.components() if c.kind == kind}:
            continue
        name = OmegaConf.select(tree, f"{group}.name")
        if name != choice:
            raise ConfigError(
                f"{group}={choice}: {group}.name={name} of the experiment wins over it; take "
                f"another experiment, or take {group}.name out of this one."
            )


def _told(tree: DictConfig) -> Iterator[Leaf]:
    for part in _TOLD:
        node = OmegaConf.select(tree.hydra, part)
        if isinstance(node, DictConfig):
            yield from write(node, ("hydra", *part.split("."))).leaves


def _swept(overrides: list[str]) -> Iterator[Leaf]:
    """The values of a sweep, which the configuration of a multirun does not have yet."""
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.is_choice_sweep():
            *path, key = override.get_key_element().lstrip("+~").split(".")
            for value in override.sweep_string_iterator():
                yield from write(OmegaConf.create({key: value.strip("'\"")}), tuple(path)).leaves


def _mask(tree: DictConfig, values: list[tuple[Leaf, str]]) -> None:
    """Put ``***`` where a secret is; every other value stays as it is written."""
    with flag_override(tree, ["struct", "readonly"], [False, False]):
        for leaf, value in values:
            if MASK in value:
                leaf.node[leaf.key] = value


def check_compositions(plugins: Plugins, *, resolved: bool) -> None:
    """Let Hydra compose with :class:`CheckedLoader` from now on."""
    CheckedLoader.plugins, CheckedLoader.resolved = plugins, resolved
    hydra_program.ConfigLoaderImpl = CheckedLoader  # type: ignore[attr-defined]
