"""``backtest.as_known``: a fold sees the versions created by the end of its origin; a correction
that came later is planted.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /model: seasonal_naive
name: shops
source:
  files: {sales: sales.csv}
features:
  primary: sales
  views:
    sales: {entity: [shop], columns: [y], ttl: 1d, created: seen, engineer: [{op: lag, columns: [y], steps: [1]}]}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 2}
backtest: {folds: 3, step: 2}
"""  # noqa: E501
DAYS = 30


def project(root: Path, created: str = "created: seen, ") -> Path:
    """One series, its value the number of the day, seen a day later; day 25 was seen as 25, and
    corrected to 9000 on day 28.
    """
    (root / "conf" / "experiment").mkdir(parents=True)
    (root / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
    (root / "conf" / "experiment" / "shops.yaml").write_text(
        EXPERIMENT.replace("created: seen, ", created)
    )
    first = pd.Timestamp("2024-01-01", tz="UTC")
    rows = [
        ("a", first + pd.Timedelta(days=d), d, first + pd.Timedelta(days=d + 1))
        for d in range(DAYS)
    ]
    rows.append(("a", first + pd.Timedelta(days=25), 9000, first + pd.Timedelta(days=28)))
    pd.DataFrame(rows, columns=["shop", "event_timestamp", "y", "seen"]).to_csv(
        root / "sales.csv", index=False
    )
    return root


def run(root: Path, *overrides: str) -> tuple[int, dict[str, object], str]:
    done = command.run("+experiment=shops", *overrides, cwd=root)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def table(result: dict[str, object]) -> pd.DataFrame:
    found = pd.read_parquet(str(result["backtest"])).set_index(["origin", "step"])
    found.index = pd.MultiIndex.from_tuples(
        [((o - pd.Timestamp("2024-01-01", tz="UTC")).days, s) for o, s in found.index]
    )
    return found


def test_a_fold_does_not_see_a_correction_that_came_after_its_origin(tmp_path: Path) -> None:
    root = project(tmp_path)
    code, ingested, stderr = run(root, "run=ingest")
    assert code == 0, stderr
    assert ingested["rows"] == {
        "sales": DAYS + 2
    }  # the correction, and the lag that follows from it
    code, result, stderr = run(root, "run=backtest", "backtest.as_known=true")
    assert code == 0, stderr
    then = table(result)
    assert then["mean"].tolist() == [22.0, 23.0, 24.0, 25.0, 26.0, 27.0]
    assert then["actual"].tolist() == [24.0, 9000.0, 26.0, 27.0, 28.0, 29.0]
    code, result, stderr = run(root, "run=backtest")
    assert code == 0, stderr
    now = table(result)
    assert now["mean"].tolist() == [22.0, 23.0, 24.0, 9000.0, 26.0, 27.0]
    assert now["actual"].tolist() == then["actual"].tolist()


def test_without_a_created_column_it_cannot_be_asked(tmp_path: Path) -> None:
    root = project(tmp_path, created="")
    rows = pd.read_csv(root / "sales.csv").iloc[:DAYS].drop(columns="seen")
    rows.to_csv(root / "sales.csv", index=False)
    code, result, _ = run(root, "run=backtest", "backtest.as_known=true")
    assert code == 2
    assert "backtest.as_known: no view has a created column" in str(result["error"])
