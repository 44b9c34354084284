"""What can be known to be wrong is said before any data is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: xgboost
name: e
source:
  files: {sales: there_is_no_such_file.csv}
features:
  primary: sales
  views:
    sales: {entity: [shop], columns: [y, visitors]}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (tmp_path / "conf" / "experiment" / "e.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+model.objectives.z=count:poisson", "model.objectives: ['z'] are no targets"),
        ("preprocessor.past=[{step: scale, columns: [visits]}]", "'visits' is not a column here"),
        (
            "preprocessor.future=[{step: calendar, fields: [holidays, is_holiday], country: ZZ}]",
            "the holidays of 'ZZ' are not known",
        ),
        (
            "preprocessor.future=[{step: calendar, fields: [is_holiday], country_column: shop, "
            "countries: {s: DE-BY}}, "
            "{step: calendar, fields: [is_holiday], country: 2024-02-31, prefix: own}]",
            "preprocessor.future.1: calendar country: '2024-02-31' is no date",
        ),
        ("+source.tables={sales: {encoding: true}}", "YAML reads the words on, off, yes"),
    ],
)
def test_an_option_that_cannot_work_ends_the_run_before_the_source_is_opened(
    project: Path, override: str, words: str
) -> None:
    done = command.run("+experiment=e", override, cwd=project)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "no_such_file" not in done.stderr
    assert not (project / "state" / "offline").exists()
    assert not (project / "state" / "mlflow.db").exists()  # no plugin was told of the run


@pytest.mark.parametrize("run", ["train", "ingest"])
def test_a_column_that_the_file_has_not_is_named_before_the_run_begins(
    project: Path, run: str
) -> None:
    (project / "there_is_no_such_file.csv").write_text(
        "shop,event_timestamp,y,visitor\na,not read yet,1,2\n"
    )
    done = command.run("+experiment=e", f"run={run}", cwd=project)
    assert done.returncode == 2, done.stderr
    assert "table 'sales': no column 'visitors'; Did you mean 'visitor'?" in done.stderr
    assert not (project / "state" / "mlflow.db").exists()


def test_what_is_right_gets_to_the_source(project: Path) -> None:
    done = command.run("+experiment=e", cwd=project)
    assert done.returncode == 2
    assert "there_is_no_such_file.csv" in done.stderr
