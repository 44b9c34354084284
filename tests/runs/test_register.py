"""A pair is registered only when it answers from what was written as it did when it was fitted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"

FORGETFUL = '''"""A model that is opened with another state than it was saved with."""
from framework.interfaces.plugin import Component, hookimpl
from framework_baselines import SeasonalNaiveOptions
from framework_baselines.seasonal_naive import SeasonalNaive

class Forgetful(SeasonalNaive):
    opened = 0.0

    def predict(self, windows):
        return super().predict(windows) + self.opened

    @classmethod
    def load(cls, directory):
        model = super().load(directory)
        model.opened = 1000.0
        return model

@hookimpl
def components():
    return [Component("model", "forgetful", "forgetful:Forgetful", SeasonalNaiveOptions)]
'''


def test_a_pair_that_answers_otherwise_when_opened_is_not_registered(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    (folder / "forgetful.py").write_text(FORGETFUL)
    distribution = folder / "forgetful-0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: forgetful\nVersion: 0\n")
    (distribution / "entry_points.txt").write_text("[framework]\nforgetful = forgetful\n")

    done = command.run("+experiment=shops", "model=forgetful", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "not registered" in done.stderr

    listed = command.run("+experiment=shops", "run=pairs", cwd=folder)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout.splitlines()[-1])["pairs"] == []


def test_a_pair_learns_from_no_row_before_panel_since(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("state"))
    data = folder / "data" / "sales.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join(line for line in lines if not line.startswith("mill,2024-04")) + "\n")
    done = command.run(
        "+experiment=shops",
        "panel.since=2024-04-01",
        "panel.new=refuse",
        "panel.short=keep",
        "backtest.folds=1",
        "validation.steps=0",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (file,) = (folder / "state" / "artifacts").rglob("series.json")
    assert [shop for (shop,) in json.loads(file.read_text())] == ["harbour", "market", "station"]
