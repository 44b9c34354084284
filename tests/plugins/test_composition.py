"""A choice on the command line is the component of the run, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.testing.servers import command

EXPERIMENT = """\
# @package _global_
defaults: [{override /source: files}, {override /retrieval: file}, {override /model: xgboost}]
name: shops
source: {files: {sales: sales.csv}}
features: {primary: sales, views: {sales: {entity: [shop], columns: [y]}}}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
"""


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
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
    (folder / "shops.yaml").write_text(EXPERIMENT + f"model: {name}\n")
    done = command.run("+experiment=shops", "run=pairs", choice, cwd=tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result.get("error")) == ((2, error) if error else (0, None))
