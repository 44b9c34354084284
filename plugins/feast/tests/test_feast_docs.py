"""The presets and the keys that the how-to names are known."""

from __future__ import annotations

import re
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(ROOT / "examples" / "project", folder, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(ROOT / "conf" / "feature_store", folder / "conf" / "feature_store")
    return folder


def test_the_keys_of_the_how_to_compose(project: Path) -> None:
    keys = ("retrieval.windows.weather", "features.stale", "features.max_age")
    assert all(key.rpartition(".")[2] in PAGE for key in keys)
    overrides = [
        *("+experiment=shops", "retrieval=feast", "feature_store=local"),
        *(f"+{key}={value}" for key, value in zip(keys, ("2016", "flag", "2d"), strict=True)),
    ]
    plugins = load_plugins()
    register(plugins)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(project / "conf"), version_base="1.3"):
        config = build_config(
            compose("config", overrides=overrides),
            plugins,
        )
    options = config.component("retrieval").options
    assert isinstance(options, FeastOptions)
    assert options.store["online_store"]["type"] == "sqlite"
    assert options.window_of("weather") == 2016


def test_the_how_to_names_every_preset() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert named == {path.stem for path in (ROOT / "conf" / "feature_store").glob("*.yaml")} & {
        "local", "redis", "postgres", "dynamodb", "cassandra"
    }  # fmt: skip
