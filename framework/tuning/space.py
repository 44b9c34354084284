"""The search space: declared beside the options, checked against them before anything starts.

space:
  model.max_depth: {int: [3, 10]}
  model.learning_rate: {loguniform: [0.01, 0.3]}
  model.tweedie_power: {uniform: [1.1, 1.9], when: {model.objective: tweedie}}
  panel.columns: {choice: [null, [departures_lag_6, departures_rolling_7_mean]]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field, PositiveInt, model_validator

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.errors import ConfigError, suggest
from framework.interfaces.tuner import Dimension
from framework.options import Options, validate

KINDS = ("uniform", "loguniform", "int", "logint", "choice")
#: What a trial may change. The rest is what trials are compared on (targets, folds, metric) or
#: what lies in the store already.
SEARCHABLE = ("model", "preprocessor", "panel.columns", "validation.steps")

Bounds = tuple[float, float]
Steps = tuple[int, int]


class _Declared(Options):
    """One entry of ``space``."""

    uniform: Bounds | None = None
    loguniform: Bounds | None = None
    int: Steps | None = None
    logint: Steps | None = None
    choice: tuple[Any, ...] | None = Field(default=None, min_length=1)
    step: PositiveInt = 1
    points: PositiveInt | None = None
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> _Declared:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"give one of {', '.join(KINDS)}, such as {{int: [3, 10]}}; it has "
                f"{kinds or 'none'}"
            )
        bounds = None if kinds[0] == "choice" else getattr(self, kinds[0])
        if bounds is not None and bounds[0] >= bounds[1]:
            raise ValueError(
                f"{kinds[0]}: the lower bound {bounds[0]} is not below the upper one {bounds[1]}"
            )
        if bounds is not None and kinds[0].startswith("log") and bounds[0] <= 0:
            raise ValueError(f"{kinds[0]}: the lower bound {bounds[0]} must be above 0")
        return self


def parse_space(tree: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """The dimensions, parents before what depends on them. Keys may be dotted, nested, or both.
    Raises :class:`ConfigError`.
    """
    dimensions = {path: _dimension(path, node) for path, node in _leaves("", tree)}
    if not dimensions:
        raise ConfigError(
            "space: nothing to search; declare it, such as space: {model.max_depth: {int: "
            "[3, 10]}}."
        )
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(dimensions):
        ready = [
            d
            for path, d in dimensions.items()
            if path not in ordered and all(parent in ordered for parent in d.when)
        ]
        if not ready:
            rest = next(d for path, d in dimensions.items() if path not in ordered)
            parent = next(p for p in rest.when if p not in ordered)
            what = (
                "depends on itself"
                if parent in dimensions
                else f"is not searched itself;{suggest(parent, dimensions)}"
            )
            raise ConfigError(
                f"space.{rest.path}.when: '{parent}' {what} Searched: {', '.join(dimensions)}."
            )
        ordered |= {d.path: d for d in ready}
    return tuple(ordered.values())


def _leaves(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, inner in node.items():
        key_path = f"{path}.{key}" if path else str(key)
        if not isinstance(inner, Mapping):
            raise ConfigError(
                f"space.{key_path}: got {inner!r}; give one of {', '.join(KINDS)}, such as "
                f"{{int: [3, 10]}}."
            )
        if any(kind in inner for kind in KINDS):
            yield key_path, inner
        else:
            yield from _leaves(key_path, inner)


def _dimension(path: str, node: Mapping[str, Any]) -> Dimension:
    if not any(path == root or path.startswith(f"{root}.") for root in SEARCHABLE):
        raise ConfigError(
            f"space.{path}: cannot be searched;{suggest(path, SEARCHABLE)} Searchable: "
            f"{', '.join(SEARCHABLE)}."
        )
    declaration = validate(_Declared, dict(node), f"space.{path}")
    kind = next(k for k in KINDS if getattr(declaration, k) is not None)
    when = {
        parent: tuple(v) if isinstance(v, list) else (v,) for parent, v in declaration.when.items()
    }
    if kind == "choice":
        return Dimension(path, "choice", choices=declaration.choice or (), when=when)
    low, high = getattr(declaration, kind)
    return Dimension(path, kind, low, high, declaration.step, points=declaration.points, when=when)  # type: ignore[arg-type]


def check_space(dimensions: tuple[Dimension, ...], text: str, plugins: Plugins) -> None:
    """Every bound and choice, put into the composed config ``text``, must validate. Raises
    :class:`ConfigError` with its path.
    """
    fixed: dict[str, Any] = {}
    for dimension in dimensions:
        parents = {
            parent: fixed.get(parent, values[0]) for parent, values in dimension.when.items()
        }
        for parent, values in dimension.when.items():
            _check_condition(dimension, parent, values, dimensions)
            parents[parent] = values[0]
        for value in dimension.choices or (
            _typed(dimension, dimension.low),
            _typed(dimension, dimension.high),
        ):
            try:
                substituted(text, {**parents, dimension.path: value}, plugins)
            except ConfigError as error:
                raise ConfigError(
                    f"space.{dimension.path}: {value!r} does not fit: {error}"
                ) from error


def _check_condition(
    dimension: Dimension, parent: str, values: tuple[Any, ...], dimensions: tuple[Dimension, ...]
) -> None:
    other = next(d for d in dimensions if d.path == parent)
    if other.kind != "choice":
        raise ConfigError(
            f"space.{dimension.path}.when: '{parent}' is a {other.kind}; a condition needs "
            "a choice."
        )
    for value in values:
        if value not in other.choices:
            raise ConfigError(
                f"space.{dimension.path}.when: {parent} is never {value!r}; its choices: "
                f"{list(other.choices)}."
            )


def _typed(dimension: Dimension, value: float) -> float | int:
    return int(value) if dimension.kind in ("int", "logint") else float(value)


def substitute(text: str, values: Mapping[str, Any]) -> DictConfig:
    """The composed config ``text`` (YAML) with ``values`` in place, not yet checked."""
    tree = OmegaConf.to_container(OmegaConf.create(text))
    for path, value in values.items():
        _assign(tree, path, value)
    config = OmegaConf.create(tree)
    assert isinstance(config, DictConfig)
    return config


def substituted(text: str, values: Mapping[str, Any], plugins: Plugins) -> Config:
    """The same as a config. Raises :class:`ConfigError` with the path of what does not validate."""
    return build_config(substitute(text, values), plugins)


def _assign(tree: Any, path: str, value: Any) -> None:
    """Set one key; a number in the path is a place in a list. A key that is not there is left for
    the validation to name.
    """
    keys = path.split(".")
    node = tree
    for depth, key in enumerate(keys[:-1]):
        try:
            node = node[int(key)] if isinstance(node, list) else node[key]
        except (KeyError, IndexError, ValueError, TypeError):
            known = (
                list(node)
                if isinstance(node, dict)
                else list(range(len(node)))
                if isinstance(node, list)
                else []
            )
            raise ConfigError(
                f"{'.'.join(keys[: depth + 1])}: no such "
                f"key;{suggest(key, map(str, known))} Known: "
                f"{', '.join(map(str, known)) or 'none'}."
            ) from None
    last = keys[-1]
    if isinstance(node, list):
        if not last.isdigit() or int(last) >= len(node):
            raise ConfigError(f"{path}: no such place; the list has {len(node)} entries.")
        node[int(last)] = deepcopy(value)
    elif isinstance(node, dict):
        node[last] = deepcopy(value)
    else:
        raise ConfigError(f"{path}: '{keys[-2]}' is {node!r}, it has no keys.")
