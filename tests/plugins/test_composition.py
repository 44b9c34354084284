"""A choice on the command line is the component of the run, or is refused. A command composes
once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from framework.cli.main import main
from framework.testing.servers import command

EXPERIMENT = """\
# @package _global_
defaults: [{override /source: files}, {override /retrieval: file}, {override /model: xgboost}]
name: shops
source: {files: {sales: sales.csv}}
features: {primary: sales, views: {sales: {entity: [shop], columns: [y]}}}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
"""


def write_project(path: Path, model: str = "{}") -> None:
    folder = path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (path / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
    (folder / "shops.yaml").write_text(EXPERIMENT + f"model: {model}\n")


@pytest.mark.parametrize(
    ("name", "choice", "error"),
    [
        (
            "{name: lightgbm}",
            "model=seasonal_naive",
            "model=seasonal_naive: model.name=lightgbm of the experiment wins over it; take "
            "another experiment, or take model.name out of this one.",
        ),
        ("{name: lightgbm}", "model=lightgbm", None),
        ("{}", "model=seasonal_naive", None),
    ],
)
def test_a_name_of_the_experiment_does_not_win_over_the_command_line_in_silence(
    tmp_path: Path, name: str, choice: str, error: str | None
) -> None:
    write_project(tmp_path, name)
    done = command.run("+experiment=shops", "run=pairs", choice, cwd=tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result.get("error")) == ((2, error) if error else (0, None))


@pytest.mark.parametrize("mode", [[], ["hydra.mode=RUN"]])
def test_a_run_is_composed_once_and_knows_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: list[str]
) -> None:
    """Hydra composes twice, and every command would pay for it."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # or it would be set for the tests after this one
    monkeypatch.setattr(sys, "argv", ["framework", "+experiment=shops", "run=pairs", *mode])
    composed = []
    compose = ConfigLoaderImpl.load_configuration

    def counted(self: ConfigLoaderImpl, *arguments: Any) -> Any:
        composed.append(arguments)
        return compose(self, *arguments)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    assert main() == 0
    assert len(composed) == 1
    (recorded,) = tmp_path.rglob("hydra.yaml")
    text = recorded.read_text()
    assert "mode: RUN" in text
    assert "- hydra.mode=RUN" in text
