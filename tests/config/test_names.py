"""Names of an experiment beside the names of the tables that the product writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from framework.config.names import RESERVED
from framework.data.forecast_table import forecast_table
from framework.testing.fakes import make_pair
from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  files: {{sales: sales.parquet}}
features:
  primary: sales
  views:
    sales: {{entity: ['{key}'], columns: ['{target}'], ttl: 1d}}
panel: {{targets: ['{target}'], frequency: D, horizon: 3, season_length: 7}}
backtest: {{folds: 2}}
"""


def write_project(home: Path, key: str, target: str) -> None:
    """Two shops of unlike size, 40 days each."""
    (home / "conf/experiment").mkdir(parents=True)
    (home / "conf/config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (home / "conf/experiment/e.yaml").write_text(EXPERIMENT.format(key=key, target=target))
    days = pd.date_range("2024-01-01", periods=40, freq="D", tz="UTC")
    parts = [
        pd.DataFrame({key: shop, "event_timestamp": days, target: size + np.arange(40.0)})
        for shop, size in (("a", 0), ("b", 100))
    ]
    pd.concat(parts).to_parquet(home / "sales.parquet", index=False)


@pytest.mark.gate_cases(1)
@pytest.mark.parametrize(
    ("key", "target"),
    [("Filiale Nr. 1/2", '../Umsatz (€) "netto" 50 %'), ("order", "mean")],
)
def test_names_of_any_kind_keep_their_values(tmp_path: Path, key: str, target: str) -> None:
    home = tmp_path / "50%20 off? #1"  # a folder has a name of any kind, too
    write_project(home, key, target)
    train = command.run("+experiment=e", cwd=home)
    assert train.returncode == 0, train.stderr
    predict = command.run("+experiment=e", "run=predict", "predict.output=out.parquet", cwd=home)
    assert predict.returncode == 0, predict.stderr
    table = pq.read_table(home / "out.parquet").to_pandas()
    assert table[key].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["target"].unique().tolist() == [target]
    assert table["mean"].tolist() == [33.0, 34.0, 35.0, 133.0, 134.0, 135.0]
    backtest = pq.read_schema(json.loads(train.stdout.splitlines()[-1])["backtest"]).names
    assert {*backtest, *table} - {key} <= RESERVED


def test_a_key_that_would_be_overwritten_is_refused_with_its_path(tmp_path: Path) -> None:
    write_project(tmp_path, "origin", "y")
    train = command.run("+experiment=e", cwd=tmp_path)
    assert train.returncode == 2
    assert (
        "features.views.sales.entity: 'origin' is a column of the tables of forecasts"
        in train.stderr
    )
    assert "source.tables.sales.rename: {origin: origin_key}" in train.stderr


def test_every_column_of_the_forecasts_is_reserved() -> None:
    pair, golden = make_pair(windows=2)
    names: list[Any] = list(forecast_table(pair.forecast(golden.context), pair.schema.entity_keys))
    quantiles = {f"q{q:g}" for q in pair.schema.quantiles}
    assert set(names) - set(pair.schema.entity_keys) - quantiles <= RESERVED
