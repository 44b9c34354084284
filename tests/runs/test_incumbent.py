"""Data go on between two trainings: the incumbent is judged on the candidate's windows, by
forecasts made for the purpose.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
MORE_DAYS = 10


def run(folder: Path, *overrides: str, code: int = 0) -> tuple[dict[str, Any], str]:
    done = command.run("+experiment=shops", "gate.baseline_margin=10", *overrides, cwd=folder)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, promoted, knows all but the last days; version 2 knows them too. Their origins
    differ, for 10 is no multiple of 7.
    """
    folder = Path(
        shutil.copytree(
            EXAMPLE,
            tmp_path_factory.mktemp("rematch") / "project",
            ignore=shutil.ignore_patterns("state"),
        )
    )
    data = folder / "data" / "sales.csv"
    header, *rows = data.read_text().splitlines()
    date = header.split(",").index("date")
    days = sorted({row.split(",")[date] for row in rows})
    early = [row for row in rows if row.split(",")[date] <= days[-MORE_DAYS - 1]]
    data.write_text("\n".join([header, *early]) + "\n")
    run(folder, "model=xgboost", "model.n_estimators=20", "model.n_jobs=1")
    run(folder, "run=promote", "alias=production")
    data.write_text("\n".join([header, *rows]) + "\n")
    run(folder, "run=ingest")
    run(folder)
    return folder


@pytest.mark.stress
def test_the_incumbent_is_backtested_again_on_the_candidates_windows(project: Path) -> None:
    answer, said = run(project, "run=promote", "alias=production", "gate.margin=100")
    assert "lacks 2 of the candidate's origins" in said
    check = next(
        c for c in answer["verdict"]["checks"] if c["check"].endswith("against the incumbent")
    )
    candidate = run(project, "run=backtest")[0]["metrics"]["model"]["MAE"]
    incumbent = run(
        project, "run=backtest", "model=xgboost", "model.n_estimators=20", "model.n_jobs=1"
    )[0]["metrics"]["model"]["MAE"]
    assert check["passed"]
    assert check["value"] == pytest.approx(candidate, rel=1e-4)
    assert check["limit"] == pytest.approx(incumbent * 101, rel=1e-4)
    assert candidate != pytest.approx(incumbent, rel=1e-4)


@pytest.mark.stress
def test_an_incumbent_whose_rows_are_gone_does_not_let_the_candidate_pass(
    project: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "project"))
    run(folder, "run=alias", "alias=staging", "version=1", "reason=test")
    for rows in (folder / "state").glob("**/sales-*.parquet"):
        rows.unlink()
    answer, _ = run(folder, "run=promote", "alias=staging", "version=2", code=3)
    assert "cannot be backtested on the candidate's windows" in answer["error"]
    assert "run=ingest" in answer["error"]
