"""The configuration: every wrong key or value is named by its path, with what would be right."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, ValidationError

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config, layout_of
from framework.config.groups import GROUPS, default_node, default_values
from framework.errors import ConfigError
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options, known_keys, validate
from framework.plugins.discovery import load_plugins
from framework.testing import fakes


class Inner(Options):
    depth: int = Field(default=3, ge=1)


class Tree(Options):
    """Options of a model that exists for these tests only."""

    trees: int = Field(default=100, ge=1)
    kind: Literal["deep", "wide"] = "deep"
    inner: Inner = Inner()
    needed: str


class Forest:
    @hookimpl
    def components(self) -> list[Component]:
        return [Component("model", "forest", "nowhere:Forest", Tree, "trees")]


PLUGINS: Plugins = load_plugins(extra=[fakes, Forest()])

_VIEW = {
    "entity": ["shop"],
    "columns": ["sales", "price"],
    "ttl": "1d",
    "engineer": [{"op": "lag", "columns": ["sales"], "steps": [1, 7]}],
}


def _composed(**changed: Any) -> DictConfig:
    """A composed config as Hydra gives it; dotted keys change one value."""
    path = __import__("framework.conf", fromlist=["conf"]).__path__[0]
    base = OmegaConf.load(f"{path}/framework.yaml")
    for key in ("defaults", "hydra"):
        del base[key]
    base = OmegaConf.merge(
        base,
        {group: {"name": "fake"} for group in GROUPS},
        {"source": {"name": "unheard_of"}, "baseline": {"name": "fake"}},
        {
            "name": "shops",
            "panel": {"targets": ["sales"], "frequency": "D", "horizon": 7, "season_length": 7},
        },
        {"features": {"primary": "daily", "views": {"daily": _VIEW}}},
    )
    for group, kind in GROUPS.items():
        names = PLUGINS.names(kind)
        base[group] = {"name": "fake"} if "fake" in names else _selected(kind, names)
    for key, value in changed.items():
        OmegaConf.update(base, key.replace("__", "."), value, force_add=True)
    assert isinstance(base, DictConfig)
    return base


def _selected(kind: str, names: list[str]) -> dict[str, Any]:
    if kind == "source":
        return {"name": "files", "files": {}} if "files" in names else {"name": names[0]}
    return {"name": (names or PLUGINS.missing(kind))[0]}


def _refusal(**changed: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(_composed(**changed), PLUGINS)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_good_config_is_frozen_and_typed() -> None:
    config = build_config(_composed(quantiles=[0.1, 0.9]), PLUGINS)
    assert isinstance(config, Config)
    assert config.panel.targets == ("sales",)
    assert config.component("model").name == "fake"
    assert config.features.feature_names() == ("sales", "price", "sales_lag_1", "sales_lag_7")
    assert "season_length: 7" in config.text
    with pytest.raises(ValidationError):
        config.seed = 8  # type: ignore[misc]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "key at the top": ({"hrizon": 7}, "hrizon: unknown key."),
    "key in a group": ({"panel__horizn": 7}, "panel.horizn: unknown key."),
    "key deep in the views": (
        {"features__views__daily__colums": ["x"]},
        "features.views.daily.colums: unknown key.",
    ),
    "value of a wrong type": (
        {"panel__horizon": "week"},
        "panel.horizon: a whole number is needed",
    ),
    "value out of range": (
        {"panel__horizon": 0},
        "panel.horizon: Input should be greater than 0, got 0",
    ),
    "choice": (
        {"panel__gaps": "ignore"},
        "panel.gaps: Input should be 'refuse' or 'insert', got 'ignore'",
    ),
    "falling quantiles": (
        {"quantiles": [0.9, 0.1]},
        "quantiles: quantiles must rise and lie between 0 and 1, such as [0.1, 0.9]",
    ),
    "quantile beyond one": (
        {"quantiles": [0.5, 1.0]},
        "quantiles: quantiles must rise and lie between 0 and 1",
    ),
    "name with a slash": ({"name": "a/b"}, "name: String should match pattern"),
    "no features": (
        {"features": None},
        "features: nothing is selected; choose an experiment (+experiment=NAME) or features=NAME.",
    ),
    "no model": ({"model": None}, "model: nothing is selected; model=NAME. Installed: "),
    "unknown model": (
        {"model__name": "forrest"},
        "model=forrest is not known; Did you mean 'forest'? Installed: ",
    ),
    "group without a name": (
        {"model__name": None},
        "model.name: missing; say which model it is. Installed: ",
    ),
    "unknown run": ({"run": "trian"}, "run=trian is not known; Did you mean 'train'? Installed: "),
    "primary view that is none": (
        {"features__primary": "weekly"},
        "features: primary 'weekly' is not one of the views ['daily']",
    ),
    "sliding without a length": (
        {"backtest__window": "sliding"},
        "backtest: window: sliding and window_length go together",
    ),
    "length without sliding": (
        {"backtest__window_length": 9},
        "backtest: window: sliding and window_length go together",
    ),
    "key named like a column of the forecasts": (
        {"features__views__daily__entity": ["origin"]},
        "features.views.daily.entity: 'origin' is a column of the tables of forecasts, "
        "which have one column for each key; "
        "give it another name, such as source.tables.daily.rename: {origin: origin_key}.",
    ),
    "key named like a quantile": (
        {"features__views__daily__entity": ["q0.5"]},
        "features.views.daily.entity: 'q0.5' is a column",
    ),
    "key of the records": (
        {"features__views__daily__entity": ["shop", "version"]},
        "features.views.daily.entity: 'version' is a column",
    ),
    "feature named like its key": (
        {"features__views__daily__columns": ["sales", "shop"]},
        "features.views.daily.columns: 'shop' is an entity key or the time of a row",
    ),
    "feature named like the time": (
        {"features__views__daily__columns": ["sales", "event_timestamp"]},
        "features.views.daily.columns: 'event_timestamp' is an entity key or the time of a row",
    ),
    "names that differ by case": (
        {"features__views__daily__columns": ["sales", "price", "Price"]},
        "features.views: the columns 'price' and 'Price' differ by case alone",
    ),
    "target that is a key": (
        {"panel__targets": ["sales", "sales"]},
        "panel.targets: 'sales' stands there twice",
    ),
    "target known in advance": (
        {"panel__known": ["sales"]},
        "panel.known: 'sales' is a target, which nobody knows in advance",
    ),
    "quantiles of one name": (
        {"quantiles": [0.1234567, 0.12345671]},
        "quantiles: quantiles are told apart by six digits",
    ),
    "missing value": (
        {"panel__horizon": "???"},
        "panel.horizon: missing; give it a value, such as panel.horizon=… on the command line.",
    ),
    "interpolation to nothing": (
        {"name": "${nme}"},
        "name: it refers to 'nme', which nothing gives; write that key, or select it in the "
        "defaults: - override /nme: NAME.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_config_is_named_by_its_path(case: str) -> None:
    changed, message = WRONG[case]
    assert _refusal(**changed).startswith(message)


def _tree(**node: Any) -> dict[str, Any]:
    return {"model": {"name": "forest", "needed": "x", **node}}


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "typo": (
        _tree(tres=1),
        "model.tres: unknown key. Did you mean 'trees'? Known: trees, kind, inner, needed.",
    ),
    "typo deeper": (_tree(inner={"dpth": 1}), "model.inner.dpth: unknown key."),
    "out of range": (
        _tree(trees=0),
        "model.trees: Input should be greater than or equal to 1, got 0",
    ),
    "out of range deeper": (
        _tree(inner={"depth": 0}),
        "model.inner.depth: Input should be greater than or equal to 1, got 0",
    ),
    "missing": ({"model": {"name": "forest"}}, "model.needed: Field required"),
    "two at once": (
        _tree(trees="many", kind="tall"),
        "model.trees: a whole number is needed",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_a_component_are_checked_like_the_rest(case: str) -> None:
    changed, message = OPTIONS[case]
    assert _refusal(**changed).startswith(message)


def test_every_wrong_key_is_reported_at_once() -> None:
    assert "; model.kind: Input should be 'deep' or 'wide', got 'tall'" in _refusal(
        **_tree(trees="many", kind="tall")
    )


def test_the_baseline_is_a_model_with_options_of_its_own() -> None:
    assert _refusal(baseline={"name": "forest", "needed": "x", "tres": 1}).startswith(
        "baseline.tres: unknown key."
    )


def test_a_component_that_is_not_installed_composes_without_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        __import__("framework.config.catalog", fromlist=["x"]).FIRST_PARTY,
        ("serving", "pigeon"),
        "framework-pigeon",
    )
    config = build_config(_composed(serving={"name": "pigeon", "speed": 3}), PLUGINS)
    assert config.component("serving").options is None


@given(word=st.text(min_size=1, max_size=40).filter(lambda w: w not in Tree.model_fields))
def test_any_unknown_key_is_one_line_that_names_it(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Tree, {"needed": "x", word: 1}, "model")
    assert str(caught.value).startswith(f"model.{word}: unknown key.")


def test_the_default_node_of_a_component_is_its_options() -> None:
    assert default_node("forest", Tree) == {
        "name": "forest",
        "trees": 100,
        "kind": "deep",
        "inner": {"depth": 3},
        "needed": "???",
    }


def test_known_keys_follow_the_path_and_stop_where_keys_are_free() -> None:
    assert {"folds", "step", "gap"} < set(known_keys(Config, ["backtest"]))
    assert known_keys(Config, ["features", "views"]) == ()
    assert "ttl" in known_keys(Config, ["features", "views", "daily"])
    assert known_keys(Config, ["nothing"]) == ()


def test_the_defaults_of_the_composition_are_those_of_the_classes() -> None:
    """A default that stands in the YAML too is compared with the class of its options."""
    path = __import__("framework.conf", fromlist=["conf"]).__path__[0]
    tree: Any = OmegaConf.to_container(OmegaConf.load(f"{path}/framework.yaml"))
    compared = []
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if name in tree and isinstance(kind, type) and issubclass(kind, Options):
            values = default_values(kind)
            written = {key: value for key, value in tree[name].items() if values[key] != "???"}
            required = {key for key, value in values.items() if value == "???"} - {"state"}
            assert written == {key: values[key] for key in written}, name
            assert {key for key in tree[name] if tree[name][key] == "???"} == required, name
            compared.append(name)
    assert {"panel", "backtest", "validation", "gate", "ingest"} <= {*compared}
    declared = {key for part in layout_of(PLUGINS).parts.values() for key in part.keys}
    assert not declared & {*tree}, "these stand in the classes alone"
