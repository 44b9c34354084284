"""A run from start to end, as the hooks of plugins follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from framework.config.config import build_config
from framework.errors import ComponentError
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


class Told:
    """Another plugin, which is called after the one that fails."""

    pairs = 0

    @hookimpl(trylast=True)
    def pair_registered(self) -> None:
        self.pairs += 1


HOOKS = """
from framework.interfaces.plugin import hookimpl

@hookimpl
def run_started(run):
    if run.config.run == "plugins":
        raise RuntimeError("no\\ntracker")

@hookimpl
def pair_registered():
    raise ConnectionError("no network")
"""


def test_a_plugin_whose_hook_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "acme_tracker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tracker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[framework]\nacme = acme_tracker\n")
    (tmp_path / "acme_tracker.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load_plugins()
    register(plugins)
    with initialize_config_dir(CONF, version_base=None):
        config = build_config(compose("config", ["run=plugins"]), plugins)
    run = Run(config, plugins, tmp_path, lambda result: None)
    told = Told()
    plugins.manager.register(told)
    tell(run, "pair_registered", pair=None)
    assert told.pairs == 1
    assert run.record.failures == [
        "plugin acme (acme-tracker 1.0) failed in pair_registered, after it was done: "
        "ConnectionError: no network"
    ]
    with pytest.raises(ComponentError) as caught:
        module.execute(run)
    assert str(caught.value).startswith(
        "plugin acme (acme-tracker 1.0): run_started: RuntimeError: no tracker; mend or uninstall"
    )
