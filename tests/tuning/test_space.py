"""The search space: what is wrong in it is named by its path, before anything starts."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import Field

from framework.config.catalog import Plugins
from framework.config.groups import GROUPS, default_node
from framework.errors import ConfigError
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.tuning.space import check_space, parse_space, substituted


class Step(Options):
    method: Literal["a", "b"] = "a"


class Tree(Options):
    depth: int = Field(default=3, ge=1, le=9)
    rate: float = Field(default=0.1, gt=0)
    kind: Literal["deep", "wide"] = "deep"
    width: int | None = None
    steps: tuple[Step, ...] = (Step(), Step())


class Forest:
    @hookimpl
    def components(self) -> list[Component]:
        return [Component("model", "forest", "nowhere:Forest", Tree, "trees")]


PLUGINS: Plugins = load_plugins(extra=[fakes, Forest()])


def composed() -> str:
    import importlib.resources

    base = OmegaConf.create(
        (importlib.resources.files("framework.conf") / "framework.yaml").read_text()
    )
    tree: Any = OmegaConf.to_container(base)
    for key in ("defaults", "hydra"):
        tree.pop(key)
    view = {"entity": ["shop"], "columns": ["sales", "price"], "ttl": "1d"}
    tree |= {
        group: {"name": PLUGINS.names(kind)[0] if kind != "model" else "forest"}
        for group, kind in GROUPS.items()
    }
    tree |= {
        "features": {"primary": "shops", "views": {"shops": view}},
        "model": default_node("forest", Tree),
    }
    tree |= {"source": {"name": "files", "files": {}}}
    tree["panel"] |= {"targets": ["sales"], "frequency": "D", "horizon": 7, "season_length": 7}
    return OmegaConf.to_yaml(OmegaConf.create(tree))


TEXT = composed()


def refusal(**space: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check_space(
            parse_space({path.replace("__", "."): node for path, node in space.items()}),
            TEXT,
            PLUGINS,
        )
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_dotted_and_nested_keys_are_one_and_parents_come_first() -> None:
    declared = {
        "model": {
            "width": {"int": [1, 5], "when": {"model.kind": "wide"}},
            "rate": {"loguniform": [0.01, 1]},
        },
        "model.kind": {"choice": ["deep", "wide"]},
        "panel.columns": {"choice": [None, ["price"]]},
        "model.steps.1.method": {"choice": ["a", "b"]},
        "validation.steps": {"int": [0, 14], "step": 7},
    }
    dimensions = parse_space(declared)
    paths = [dimension.path for dimension in dimensions]
    assert paths.index("model.kind") < paths.index("model.width")
    width = dimensions[paths.index("model.width")]
    assert (
        width.active({"model.kind": "wide"}),
        width.active({"model.kind": "deep"}),
        width.active({}),
    ) == (True, False, False)
    check_space(dimensions, TEXT, PLUGINS)


def test_values_are_put_in_place_and_leave_the_rest() -> None:
    config = substituted(
        TEXT, {"model.depth": 5, "model.steps.1.method": "b", "panel.columns": ["price"]}, PLUGINS
    )
    options: Any = config.component("model").options
    assert (options.depth, options.rate) == (5, 0.1)
    assert [step.method for step in options.steps] == ["a", "b"]
    assert config.panel.columns == ("price",)


CASES = {
    "a typo": (
        {"model__dept": {"int": [1, 3]}},
        "space.model.dept: 1 does not fit: model.dept: unknown key. Did you mean 'depth'?",
    ),
    "a bound the option refuses": (
        {"model__depth": {"int": [1, 99]}},
        "space.model.depth: 99 does not fit: model.depth:",
    ),
    "a choice it refuses": (
        {"model__kind": {"choice": ["deep", "high"]}},
        "space.model.kind: 'high' does not fit: model.kind:",
    ),
    "a key that cannot be searched": (
        {"panel__horizon": {"int": [1, 3]}},
        "space.panel.horizon: cannot be searched",
    ),
    "no kind": (
        {"model__depth": {"integer": [1, 3]}},
        "space.model.depth.integer: got [1, 3]; give one of uniform",
    ),
    "bounds that do not rise": (
        {"model__depth": {"int": [3, 3]}},
        "the lower bound 3 is not below the upper one 3",
    ),
    "a logarithm of zero": (
        {"model__rate": {"loguniform": [0, 1]}},
        "the lower bound 0.0 must be above 0",
    ),
    "two kinds": ({"model__depth": {"int": [1, 3], "choice": [1]}}, "give one of"),
    "an unknown key of an entry": (
        {"model__depth": {"int": [1, 3], "stepp": 1}},
        "space.model.depth.stepp: unknown key. Did you mean 'step'?",
    ),
    "a parent that is not searched": (
        {
            "model__width": {"int": [1, 3], "when": {"model.kin": "wide"}},
            "model__kind": {"choice": ["deep", "wide"]},
        },
        "space.model.width.when: 'model.kin' is not searched itself; Did you mean 'model.kind'?",
    ),
    "a condition that never holds": (
        {
            "model__width": {"int": [1, 3], "when": {"model.kind": "hihg"}},
            "model__kind": {"choice": ["deep", "wide"]},
        },
        "space.model.width.when: model.kind is never 'hihg'",
    ),
    "a circle": (
        {
            "model__width": {"int": [1, 3], "when": {"model.kind": "wide"}},
            "model__kind": {"choice": ["deep", "wide"], "when": {"model.width": 1}},
        },
        "depends on itself",
    ),
    "a place that a list has not": (
        {"model__steps__7__method": {"choice": ["a"]}},
        "space.model.steps.7.method: 'a' does not fit",
    ),
    "nothing": ({}, "space: nothing to search"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_space_is_named_by_its_path(case: str) -> None:
    space, expected = CASES[case]
    assert expected in refusal(**space)
