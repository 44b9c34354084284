"""A pair is rebuilt from what it recorded, byte for byte; changed data are named by file and by
month.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"


def run(folder: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run("+experiment=shops", *overrides, cwd=folder)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_pair_is_rebuilt_and_changed_data_are_named(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    run(folder, "model=xgboost", "model.n_estimators=5", "model.n_jobs=1")
    run(folder, "run=alias", "alias=staging", "version=1")

    absent = run(folder, "run=reproduce", "alias=nope", code=2)
    assert "'shops' has no alias 'nope'" in absent["error"]

    # the command line says nothing of the model here: the recorded config does
    assert run(folder, "run=reproduce", "alias=staging")["equal"] is True

    data = folder / "data" / "sales.csv"
    lines = data.read_text().splitlines()
    header = lines[0].split(",")
    row = len(lines) // 2
    cells = lines[row].split(",")
    month = next(cell for cell in cells if cell.startswith("20"))[:7]
    sold = next(i for i, name in enumerate(header) if name == "sales")
    cells[sold] = str(float(cells[sold]) + 1)
    lines[row] = ",".join(cells)
    data.write_text("\n".join(lines) + "\n")
    run(folder, "run=ingest")

    refused = run(folder, "run=reproduce", "alias=staging", code=3)
    assert refused["status"] == "refused"
    assert f"training rows of {month} was changed" in refused["error"]
    assert "sales.csv was changed" in refused["error"]


def test_a_dry_alias_needs_a_version(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    assert "version: missing" in run(folder, "run=alias", "alias=staging", code=2)["error"]
