"""``run=ingest`` as a person types it: a folder of partitions, a joined table, a function of the
project's own; what is wrong is named.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  files: {sales: data/sales, towns: data/towns.csv}
  tables:
    sales: {order_by: [shop, event_timestamp]}
features:
  primary: sales
  views:
    sales:
      entity: [shop]
      columns: [y, town]
      categories: [town]
      ttl: 1d
      engineer:
        - {op: difference, columns: [y], steps: [7], relative: true}
        - {op: join, table: towns, by: [town], columns: [people]}
        - {op: python, function: "own_features:FUNCTION", columns: [y], outputs: [level]}
panel: {targets: [y], frequency: D, horizon: 7, season_length: 7}
"""
OWN = """
def level(rows):
    return {"level": rows.groupby("shop")["y"].transform(lambda y: y.ewm(alpha=0.5).mean())}

def peeping(rows):
    return {"level": rows.groupby("shop")["y"].transform("mean")}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
    (tmp_path / "conf" / "experiment" / "shops.yaml").write_text(
        EXPERIMENT.replace("FUNCTION", "level")
    )
    (tmp_path / "own_features.py").write_text(OWN)
    for shop, town in (("a", "Oslo"), ("b", "Bergen")):
        (tmp_path / "data" / "sales" / f"shop={shop}").mkdir(parents=True)
        days = pd.date_range("2024-01-01", periods=20, tz="UTC")
        rows = pd.DataFrame({"event_timestamp": days, "y": range(1, 21), "town": town})
        rows.to_parquet(tmp_path / "data" / "sales" / f"shop={shop}" / "rows.parquet")
    (tmp_path / "data" / "towns.csv").write_text("town,people\nOslo,717000\n")
    return tmp_path


def ingest(project: Path, code: int = 0) -> tuple[dict, str]:
    done = command.run("+experiment=shops", "run=ingest", cwd=project)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_features_are_engineered_as_declared_and_made_again_when_the_function_changes(
    project: Path,
) -> None:
    result, said = ingest(project)
    assert (result["rows"], result["read"]) == ({"sales": 40}, {"sales": 40})
    assert "ingest: sales: 40 rows read, 40 new or changed" in said
    (file,) = (project / "state" / "offline").glob("*.parquet")
    rows = pd.read_parquet(file)
    assert rows["y_relative_difference_7"].dropna().iloc[0] == 7.0
    assert rows["people"].isna().tolist() == [False] * 20 + [True] * 20
    assert rows["level"].iloc[1] == pytest.approx((2 + 0.5) / 1.5)
    assert ingest(project)[0]["rows"] == {"sales": 0}
    (project / "own_features.py").write_text(OWN.replace("alpha=0.5", "alpha=1.0"))
    assert ingest(project)[0]["rows"] == {"sales": 40}
    assert len(list((project / "state" / "offline").glob("*.parquet"))) == 2


def test_a_function_that_looks_ahead_is_refused_before_anything_is_stored(project: Path) -> None:
    (project / "conf" / "experiment" / "shops.yaml").write_text(
        EXPERIMENT.replace("FUNCTION", "peeping")
    )
    result, _ = ingest(project, code=1)
    assert "op python: 'own_features:peeping' looks ahead: 'level' at or before" in result["error"]
    assert not list((project / "state").rglob("*.parquet"))
