"""One series without a key, ``entity: []``: every command, every door, the same forecast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from starlette.testclient import TestClient

from framework.config.config import build_config
from framework.data.frequency import Frequency
from framework.data.grouping import entities_of, series_numbers
from framework.data.vocabulary import TIME
from framework.features.views import View
from framework.ingestion.merging import Grid, merge, normal, off_grid
from framework.plugins import composition as offers
from framework.plugins.components import Components
from framework.plugins.discovery import load_plugins
from framework.retrieval.parquet_store import OfflineStore
from framework.serving.app.app import create_app
from framework.serving.deployment import Deployment
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
name: one
source:
  files: {sales: sales.csv, weather: weather.csv}
features:
  primary: sales
  views:
    sales: {entity: [ENTITY], columns: [y], ttl: 1d, engineer: [{op: lag, columns: [y], steps: [1]}]}
    weather: {entity: [], columns: [temp, sky], categories: [sky], ttl: 1d}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
backtest: {folds: 2}
"""  # noqa: E501


@pytest.fixture(
    scope="module",
    params=["", pytest.param("shop", marks=pytest.mark.stress)],
    ids=["no key", "a key and a view without one"],
)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("one")
    times = pd.date_range("2024-01-01", periods=40, freq="D")
    days = np.arange(40)
    key = {"shop": "a"} if request.param else {}
    pd.DataFrame({**key, TIME: times, "y": days % 7 + 1.5}).to_csv(home / "sales.csv", index=False)
    pd.DataFrame({TIME: times, "temp": days / 2, "sky": np.where(days % 5, "sun", None)}).to_csv(
        home / "weather.csv", index=False
    )
    (home / "conf" / "experiment").mkdir(parents=True)
    (home / "conf" / "config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (home / "conf" / "experiment" / "e.yaml").write_text(
        EXPERIMENT.replace("ENTITY", request.param)
    )
    return home


def test_it_is_trained_promoted_and_asked(project: Path) -> None:
    keys = ["shop"] if "shop" in (project / "sales.csv").read_text() else []
    body = _run(project)
    assert (body["status"], body["series"]["count"], body["metrics"]["model"]["MAE"]) == (
        "done",
        1,
        0.0,
    )
    assert _run(project, "run=promote", "alias=production")["status"] == "done"
    assert _run(project, "run=predict", f"predict.output={project}/store.parquet")["rows"] == 2
    store = pq.read_table(project / "store.parquet").to_pandas()
    assert store[["mean", "status"]].to_numpy().tolist() == [[6.5, "ok"], [7.5, "ok"]]
    assert [column for column in store if column in ("shop",)] == keys
    context = _rows(project, keys)
    context.to_parquet(project / "rows.parquet")
    done = _run(
        project, "run=predict", "predict.rows=rows.parquet", f"predict.output={project}/rows.out"
    )
    assert (done["rows"], done["warnings"]) == (2, [])
    assert (
        pq.read_table(project / "rows.out").to_pandas()["mean"].tolist() == store["mean"].tolist()
    )
    assert _run(project, "run=ingest")["rows"] == {"sales": 0, "weather": 0}


def test_the_only_pair_needs_no_number_and_a_pair_is_named_once(project: Path) -> None:
    """After the pair of the test above was registered."""
    assert _run(project, "run=alias", "alias=staging")["pair"]["version"] == 1
    for way in ("version=1", "predict.pair=1", "alias=staging"):
        body = _run(project, "run=predict", way, f"predict.output={project}/again.parquet")
        assert body["pair"]["version"] == 1
    done = command.run("+experiment=e", "run=predict", "version=1", "predict.pair=2", cwd=project)
    assert done.returncode == 2
    assert "version=1 and predict.pair=2 each name a pair; give one of them." in done.stderr


def test_a_server_is_asked_with_an_empty_entity_or_rows_without_a_key(project: Path) -> None:
    keys = ["shop"] if "shop" in (project / "sales.csv").read_text() else []
    entity = {"shop": "a"} if keys else {}
    rows = _rows(project, keys)
    rows[TIME] = rows[TIME].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    payload = json.loads(rows.to_json(orient="records"))
    with _served(project) as client:
        stored = client.post("/predict/feast", json={"entity": entity}).json()["forecasts"]
        batch = client.post("/predict/feast/batch", json={"entities": [entity]}).json()["forecasts"]
        given = client.post("/predict", json={"rows": payload}).json()["forecasts"]
        assert [client.get("/console/entities").json()["entities"]] == [[entity]]
        series = client.post("/console/series", json={"entity": entity, "steps": 3}).json()
    assert (stored[0]["entity"], stored[0]["status"]) == (entity, "ok")
    means = [each[0]["targets"]["y"]["mean"] for each in (stored, batch, given)]
    assert means == [[6.5, 7.5]] * 3
    assert series["targets"]["y"][:3] == [3.5, 4.5, 5.5]


@contextmanager
def _served(project: Path) -> Iterator[TestClient]:
    """The application of ``run=serve`` in this process."""
    plugins = load_plugins()
    offers.register(plugins)
    state = f"paths.state={project}/state"
    with initialize_config_dir(str(project / "conf"), version_base="1.3"):
        composed = compose("config", ["+experiment=e", "run=serve", state])
    config = build_config(composed, plugins)
    deployment = Deployment(
        Components(config, plugins),
        config.name,
        "production",
        config.features,
        "file",
        config.paths.state,
    )
    app = create_app(Service(deployment, ServingOptions()))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def _rows(project: Path, keys: list[str]) -> pd.DataFrame:
    rows = pd.read_csv(project / "sales.csv").merge(pd.read_csv(project / "weather.csv"), on=TIME)
    rows[TIME] = pd.to_datetime(rows[TIME], utc=True)
    return rows.assign(y_lag_1=rows["y"].shift())[
        [*keys, TIME, "y", "y_lag_1", "temp", "sky"]
    ].iloc[1:]


def _run(project: Path, *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=e", *overrides, cwd=project)
    assert done.returncode == 0, done.stderr[-2000:]
    body: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return body


def test_rows_are_numbered_by_series() -> None:
    rows = pd.DataFrame({"a": ["x", "y", "x"], "b": ["1", "1", "1"]})
    assert [n.tolist() for n in series_numbers(("a", "b"), rows, rows.iloc[1:])] == [
        [0, 1, 0],
        [1, 0],
    ]
    assert [n.tolist() for n in series_numbers((), rows, rows.iloc[:1])] == [[0, 0, 0], [0]]
    assert entities_of(("a",), rows)["a"].tolist() == ["x", "y"]
    assert entities_of((), rows).shape == (1, 0)
    assert entities_of((), rows.iloc[:0]).shape == (0, 0)


@pytest.mark.parametrize("created", [None, "known_at"])
def test_rows_without_a_key_are_merged_with_those_stored(
    created: str | None, tmp_path: Path
) -> None:
    view = View(entity=(), columns=("y",), ttl="1d", created=created)
    days = pd.date_range("2024-03-01", periods=4, freq="D", tz="UTC")
    rows = pd.DataFrame(
        {TIME: days, "y": [1.0, 2.0, 3.0, 4.0], "known_at": days + pd.Timedelta("1h")}
    )
    store, daily = OfflineStore(tmp_path), Grid(Frequency.parse("D"), "insert")
    for part in (
        rows.iloc[[0, 1, 3]],
        rows.iloc[[2]].assign(known_at=days[3] + pd.Timedelta("2h")),
        rows.iloc[[3]].assign(y=9.0),
    ):
        new = normal("v", view, part.reset_index(drop=True))
        stored = store.series("v", view, entities_of((), new))
        assert not off_grid(view, stored, new, daily).any()
        store.write("v", view, merge(view, stored, new, daily, {}).changed)
    assert store.read("v", view)["y"].tolist() == [1.0, 2.0, 3.0, 9.0]
    assert store.entities("v", view).shape == (1, 0)
