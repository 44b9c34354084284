"""A run from start to end, as the hooks of plugins follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from framework.config.config import build_config
from framework.interfaces.plugin import hookimpl
from framework.plugins import execute as module
from framework.plugins.composition import register
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run, tell

CONF = str(Path(__file__).parents[2] / "conf")


class Failing:
    """A tracker whose server is gone when the run ends, and a notifier without a network."""

    @hookimpl
    def run_finished(self, result: dict[str, Any]) -> None:
        raise ConnectionError("no server")

    @hookimpl
    def pair_registered(self) -> None:
        raise ConnectionError("no network")


def test_what_was_done_stays_done_where_a_hook_fails_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = load_plugins()
    register(plugins)
    with initialize_config_dir(CONF, version_base=None):
        config = build_config(compose("config", ["run=plugins"]), plugins)
    plugins.manager.register(Failing())
    run = Run(config, plugins, tmp_path, lambda result: None)
    tell(run, "pair_registered", pair=None)
    result = module.execute(run)
    assert result["status"] == "done"
    assert result["warnings"][-2:] == [
        "a plugin failed in pair_registered, after it was done: ConnectionError: no network",
        "a plugin failed in run_finished, after it was done: ConnectionError: no server",
    ]
    assert "no server" in capsys.readouterr().err
