"""Every command and every piece of configuration in the README and the documents has an account,
and is what the product accepts. ``docs/commands.py`` has the accounts.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from packaging.requirements import Requirement

from framework.cli.overrides import check_arguments, check_taken
from framework.config.catalog import Plugins
from framework.config.config import Config, Settings, build_config, layout_of
from framework.config.groups import GROUPS
from framework.errors import ConfigError
from framework.options import validate_given
from framework.plugins import composition
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[2]


sys.path.insert(0, str(ROOT / "docs"))

import commands  # noqa: E402

UNITS = list(commands.every_unit())
#: What a piece of configuration needs beside itself: of the same component, of the same columns.
WITH = {
    "log: [mean_delay]": (
        "model=xgboost",
        "panel.targets=[mean_delay,departures]",
        "features.views.sales.columns=[mean_delay,departures]",
        "features.views.sales.categories=[]",
        "features.views.sales.engineer=[{op: rolling, columns: [departures], windows: [28]}]",
    ),
    "name: ensemble": ("model=ensemble",),
    "carrier_daily:": ("panel.targets=[departures]",),
    "zero_when:": (
        "panel.known=[open]",
        "features.views.sales.columns=[sales,visitors,town,open]",
    ),
    "avro_schemas:": ("source=kafka", "source.bootstrap_servers=kafka-1:9093", "source.group=g"),
    "online_store:": ("source=sql", "+source.tables.sales={query: SELECT 1}"),
    "registry:": ("registry=mlflow",),
}
#: Environment variables that the documents name.
NAMES = {
    "ALERT_URL": "https://alerts.example.org",
    "SLACK_URL": "https://slack.example.org",
    "LEDGER_URL": "postgresql://db.example.org/forecasts",
    "SALES_DATABASE": "postgresql://db.example.org/shop",
    "SALES_PASSWORD": "hunter2",
    "KAFKA_PASSWORD": "hunter2",
    "REDIS": "redis.example.org:6379",
    "PGPASSWORD": "hunter2",
    "PGHOST": "db.example.org",
    "PGUSER": "features",
    "GOOGLE_CLOUD_PROJECT": "forecasts",
}


@cache
def plugins() -> Plugins:
    """Load the plugins, and offer them to Hydra."""
    loaded = load_plugins()
    composition.register(loaded)
    return loaded


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of this repository and of its example, with the names of the documents."""
    folder = tmp_path_factory.mktemp("documents") / "conf"
    shutil.copytree(ROOT / "conf", folder)
    shops = (ROOT / "examples/project/conf/experiment/shops.yaml").read_text()
    for name in ("shops", "sales", "shops_auto"):
        (folder / f"experiment/{name}.yaml").write_text(shops)
    for unit in UNITS:
        for path, text in files_of(unit.text):
            if unit.page.endswith("many-names.md"):
                (folder.parent / path).write_text(text)
    berlin = (folder / "experiment/berlin.yaml").read_text()
    for name in ("hamburg", "munich"):
        (folder / f"experiment/{name}.yaml").write_text(berlin.replace("berlin", name))
    plugins()
    with initialize_config_dir(str(folder), version_base="1.3"):
        yield folder
    GlobalHydra.instance().clear()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)


def files_of(text: str) -> list[tuple[str, str]]:
    """Give the file that a block says it is, and its text."""
    path = re.match(r"# (conf/\S+\.yaml)\n", text)
    return [(path[1], text[path.end() :])] if path else []


@pytest.fixture(scope="module")
def defaults(conf: Path) -> dict[str, str]:
    """Name the component that each group selects where nothing is said."""
    tree = compose("config", ["+experiment=shops"])
    return {group: tree[group].name for group in GROUPS}


def accepted(tree: dict[str, Any], defaults: Mapping[str, str]) -> None:
    """Check keys and values of part of a configuration by the classes that the product checks
    them by. What belongs together in a whole one is not checked.
    """
    layout = layout_of(plugins())
    values: Any = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    for key, value in values.items():
        assert key in layout.names(), f"{key}: unknown key"
        node = dict(value) if isinstance(value, dict) else value
        if key in GROUPS:
            node = {"name": node} if isinstance(node, str) else node
            component = plugins().find(GROUPS[key], node.pop("name", defaults[key]))
            validate_given(component.options, node, key)
        elif (owner := layout.owner((key,))) is not None:
            options, path = owner
            validate_given(options, {key: node} if path else node, "" if path else key)


def composed(overrides: list[str]) -> Settings:
    """Compose and check a configuration as the command line does."""
    check_arguments(overrides)
    tree = compose("config", overrides)
    check_taken(overrides, str(tree.run), plugins())
    return build_config(tree, plugins())


def jobs(arguments: list[str]) -> Iterator[list[str]]:
    """Give the overrides of each job: several where the arguments ask for a sweep."""
    overrides = [word for word in arguments if not word.startswith("-")]
    if len(overrides) == len(arguments):
        yield overrides
        return
    parsed = OverridesParser.create().parse_overrides(overrides)
    for values in product(
        *(
            list(each.sweep_string_iterator()) if each.is_sweep_override() else [None]
            for each in parsed
        )
    ):
        yield [
            override if value is None else f"{override.split('=')[0]}={value}"
            for override, value in zip(overrides, values, strict=True)
        ]


def place(unit: Any) -> str:
    return f"{unit.page}:{unit.line}"


def test_every_command_and_piece_of_configuration_has_an_account() -> None:
    assert [place(unit) for unit in UNITS if commands.account(unit) is None] == []
    print(commands.share())


def test_the_accounts_are_true() -> None:
    """Every entry of a table is used; a test that is named exists, and reads the page."""
    used = {commands.account(unit) for unit in UNITS}
    assert {each.why for each in used if each.why in commands.REASONS} == {*commands.REASONS}
    for table in (commands.LEFT_OUT, commands.COMPOSED):
        assert [words for words in table if not any(words in u.text for u in UNITS)] == []
    for (page, words), (kind, test) in commands.RUN.items():
        assert any(unit.page == page and words in unit.text for unit in UNITS), (page, words)
        text = (ROOT / test).read_text()
        assert kind == "gate" or "stress" in text, test


def is_group(override: Override) -> bool:
    """Say whether an override selects a component."""
    return override.key_or_group in GROUPS


COMMANDS = [u for u in UNITS if u.is_framework and "[+experiment" not in u.text]
PIECES = [u for u in UNITS if u.language == "yaml" and not files_of(u.text)]


@pytest.mark.parametrize("unit", COMMANDS, ids=place)
def test_the_keys_and_values_of_a_command_are_accepted(unit: Any, defaults: dict[str, str]) -> None:
    for arguments in commands.overrides(unit):
        check_arguments(arguments)
        for overrides in jobs(arguments):
            tree: dict[str, Any] = {}
            for each in OverridesParser.create().parse_overrides(overrides):
                if each.key_or_group not in ("experiment", "feature_store"):
                    *path, last = [*each.key_or_group.split("."), *(["name"] * is_group(each))]
                    node = tree
                    for part in path:
                        node = node.setdefault(part, {})
                    node[last] = each.value()
            check_taken(overrides, tree.get("run", "train"), plugins())
            accepted(tree, defaults)


@pytest.mark.gate_cases(1)
@pytest.mark.parametrize("unit", COMMANDS, ids=place)
def test_a_command_composes(unit: Any, conf: Path) -> None:
    for arguments in commands.overrides(unit):
        for overrides in jobs(arguments):
            composed(overrides)


#: ``auto`` is written out by the composition.
GIVEN = [unit for unit in PIECES if ": auto" not in unit.text]


@pytest.mark.parametrize("unit", GIVEN, ids=place)
def test_the_keys_and_values_of_a_piece_are_accepted(unit: Any, defaults: dict[str, str]) -> None:
    body = yaml.safe_load(unit.text)
    for default in body.pop("defaults", []):
        ((key, name),) = default.items()
        body[key.removeprefix("override /")] = {"name": name, **body.get(key.split("/")[1], {})}
    for words, more in WITH.items():
        for group, name in (word.split("=", 1) for word in more if words in unit.text):
            if group in GROUPS:
                body[group] = {"name": name, **body.get(group, {})}
    accepted(body, defaults)


@pytest.mark.gate_cases(len(PIECES) - len(GIVEN))
@pytest.mark.parametrize("unit", sorted(PIECES, key=lambda unit: unit in GIVEN), ids=place)
def test_a_piece_of_configuration_composes(unit: Any, conf: Path) -> None:
    """Over the example, whose source and views it replaces where it has its own."""
    body = yaml.safe_load(unit.text)
    shops = yaml.safe_load((conf / "experiment/shops.yaml").read_text())
    if "@package _global_" in unit.text:
        head: dict[str, Any] = {}
    else:
        head = {key: shops[key] for key in shops if key not in ("defaults", *replaced(body))}
        defaults = body.pop("defaults", shops["defaults"])
        body = {"defaults": defaults, **merged(head, body)}
    more = [each for words, each in WITH.items() if words in unit.text]
    name = f"piece_{unit.line}"
    (conf / f"experiment/{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(body))
    config = composed([f"+experiment={name}", *(word for words in more for word in words)])
    assert isinstance(config, Config)


def replaced(body: dict[str, Any]) -> set[str]:
    """Give the keys of the example that a piece of configuration does not add to."""
    features = "primary" in body.get("features", {})
    return {*({"source"} & {*body}), *(("features",) if features else ())}


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings, the second over the first."""
    whole = dict(base)
    for key, value in more.items():
        inner = whole.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict) and "columns" not in value
        whole[key] = merged(inner, value) if both else value
    return whole


def test_what_is_only_checked_exists() -> None:
    """Targets of the Makefile, scripts with their options, distributions with their extras."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    projects = {
        each["name"]: each["optional-dependencies"]
        for each in (
            {"optional-dependencies": {}, **tomllib_project(path)}
            for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"))
        )
    }
    for unit in UNITS:
        if commands.account(unit) != commands.Account("checked"):
            continue
        program, *words = unit.text.split()
        if program == "make":
            assert words[0] in targets, place(unit)
        elif program == "python":
            text = (ROOT / words[0]).read_text()
            assert all(word in text for word in words if word.startswith("--")), place(unit)
        elif program == "pip":
            for text in words[1:]:
                requirement = Requirement(text.strip("\"'"))
                if requirement.name.startswith("framework-"):
                    assert requirement.extras <= {*projects[requirement.name]}, place(unit)
        else:
            assert unit.text == "source .venv/bin/activate"


def tomllib_project(path: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(path.read_text())["project"]
    return project


def test_a_wrong_key_on_a_page_is_found(conf: Path) -> None:
    with pytest.raises(ConfigError, match=r"backtest\.fold: unknown key"):
        composed(["+experiment=shops", "+backtest.fold=3"])


def test_a_block_that_says_no_language_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    for text in ("\n    python -m framework\n", "```\npython -m framework\n```\n"):
        (tmp_path / "page.md").write_text(text)
        with pytest.raises(ValueError, match=r"page\.md:"):
            list(commands.units("page.md"))
    (tmp_path / "page.md").write_text("```bash\nrm -r state  # all of it\n```\n")
    (unit,) = commands.units("page.md")
    assert (unit.text, unit.line) == ("rm -r state", 2)
    assert commands.account(unit) is None
