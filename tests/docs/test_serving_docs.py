"""Every key that the how-tos on serving name is one, and what cannot be is named."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from framework.config.config import Config, build_config
from framework.errors import ConfigError
from framework.plugins import composition as framework_compose
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("serve*.md"))
KEYS = sorted(
    {
        ("ray" if "ray" in page.stem else "fastapi", key)
        for page in PAGES
        for key in re.findall(r"(?<!/)serving((?:\.[a-z_]+)+)(?!\.?[a-z])", page.read_text())
    }
)


@cache
def composed_once(backend: str) -> Config:
    return composed([f"serving={backend}"])


def composed(overrides: list[str]) -> Config:
    plugins = load_plugins()
    framework_compose.register(plugins)
    with initialize_config_dir(str(ROOT / "examples" / "project" / "conf"), version_base="1.3"):
        return build_config(compose("config", ["+experiment=shops", *overrides]), plugins)


@pytest.mark.parametrize(("backend", "key"), KEYS)
def test_every_key_is_one(backend: str, key: str) -> None:
    found = composed_once(backend).component("serving").options
    for part in key.split(".")[1:]:
        found = getattr(found, part)


def test_what_cannot_be_is_named() -> None:
    for overrides, message in (
        (["serving.split={candidate:101}"], "serving.split.candidate"),
        (["serving.split={a:60,b:60}"], "add up to 120 per cent"),
        (
            ["serving.split={candidate:10}", "serving.canary.alias=candidate"],
            "'candidate' is in split and is the canary",
        ),
        (
            ["serving.canary.alias=candidate", "serving.reload.seconds=null"],
            "a canary needs reload.seconds",
        ),
        (
            ["+serving.reload.second=3"],
            "serving.reload.second: unknown key. Did you mean 'seconds'",
        ),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            composed(overrides)
