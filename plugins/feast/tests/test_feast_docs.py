"""The commands of the how-to compose, and their keys are known."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from framework_feast import FeastOptions
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from framework.config.config import build_config
from framework.plugins.composition import register
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "online-features.md").read_text()
COMMANDS = re.findall(r"^python -m framework (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(ROOT / "examples" / "project", folder, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(ROOT / "conf" / "feature_store", folder / "conf" / "feature_store")
    return folder


FURTHER = (
    "+experiment=NAME +retrieval.windows.weather=2016 +features.stale=flag +features.max_age=2d"
)


@pytest.mark.parametrize("command", [*COMMANDS, FURTHER])
def test_a_command_of_the_how_to_composes(command: str, project: Path) -> None:
    overrides = [
        "retrieval=feast",
        "feature_store=local",
        *shlex.split(command.replace("NAME", "shops")),
    ]
    plugins = load_plugins()
    register(plugins)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(project / "conf"), version_base="1.3"):
        config = build_config(
            compose("config", overrides=[o for o in overrides if not o.startswith("paths")]),
            plugins,
        )
    options = config.component("retrieval").options
    assert isinstance(options, FeastOptions)
    assert options.store["online_store"]["type"] == "sqlite"
    if "window=336" in command:
        assert options.window == 336
    if "windows.weather" in command:
        assert options.window_of("weather") == 2016
    if "schedule" in command:
        assert config.section("materialize").schedule == "*/15 * * * *"


def test_the_how_to_names_every_preset() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert named == {path.stem for path in (ROOT / "conf" / "feature_store").glob("*.yaml")} & {
        "local", "redis", "postgres", "dynamodb", "cassandra"
    }  # fmt: skip
    assert len(COMMANDS) == 6
