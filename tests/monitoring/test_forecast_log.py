"""Records of what was answered, and ``run=compare`` that reads them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from framework.config.sections import PanelConfig
from framework.data.buckets import place_of
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.plugins.discovery import load_plugins
from framework.runs.compare import compare
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import make_deployment, make_features, make_row

ENTITIES = [f"A{i}" for i in range(40)]


def answer(directory: Path, alias: str | None = None, **records: Any) -> Service:
    """A service that answers every entity once, by the arm that is asked for or its own, and
    ends.
    """
    make_deployment(directory)
    registry = FolderRegistry(directory)
    if not registry.has("candidate"):
        registry.add(4)
        registry.point("candidate", 4)
    options = ServingOptions.model_validate({"split": {"candidate": 50}, "records": records})
    service = Service(make_deployment(directory), options)
    service.start()
    headers = {} if alias is None else {b"x-framework-arm": alias.encode()}
    body = orjson.dumps({"rows": [make_row(airport=name) for name in ENTITIES]})

    async def ask() -> None:
        await service.answers.payload(body, Call("POST", "/predict", b"", headers, b"id-1"))
        await service.close()

    asyncio.run(ask())
    return service


def read(directory: Path) -> pd.DataFrame:
    return pd.concat(
        [pd.read_parquet(file) for file in directory.glob("state/serving/records/fake/*/*.parquet")]
    )


def make_run(directory: Path, actuals: pd.DataFrame | None = None) -> Any:
    plugins = load_plugins()
    retrieval = plugins.load("retrieval", "file")(
        plugins.find("retrieval", "file").options(state=directory / "store")
    )
    features = make_features()
    if actuals is not None:
        retrieval.ingest(features, "daily", actuals)
    panel = PanelConfig(targets=("departures", "delay"), frequency="D", horizon=3, season_length=7)
    paths = SimpleNamespace(state=directory / "state")
    config = SimpleNamespace(name="fake", start=None, features=features, panel=panel, paths=paths)
    said: list[str] = []
    return SimpleNamespace(config=config, make=lambda group: retrieval, say=said.append, said=said)


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    answer(tmp_path)
    assert not (tmp_path / "state" / "serving" / "records").exists()
    with pytest.raises(DataError, match=r"no records in .*serving\.records\.share"):
        compare(make_run(tmp_path))


def test_every_forecast_is_kept_with_its_arm(tmp_path: Path) -> None:
    answer(tmp_path, share=100)
    table = read(tmp_path)
    assert len(table) == 40 * 3 * 2
    assert set(zip(table["arm"], table["version"], strict=True)) == {
        ("production", 3),
        ("candidate", 4),
    }
    assert table["at"].dt.tz is not None


def test_a_share_keeps_the_same_entities_in_every_arm(tmp_path: Path) -> None:
    for alias in ("production", "candidate"):
        answer(tmp_path, alias, share=50)
    table = read(tmp_path)
    kept = {arm: set(rows["airport"]) for arm, rows in table.groupby("arm")}
    assert kept["production"] == kept["candidate"]
    assert kept["production"] == {
        name for name in ENTITIES if place_of("records of fake", (name, "DL")) < 5000
    }
    assert 0 < len(kept["production"]) < 40


def test_the_oldest_files_go(tmp_path: Path) -> None:
    old = (
        tmp_path
        / "state"
        / "serving"
        / "records"
        / "fake"
        / "2020-01-01"
        / "000000000000-1.parquet"
    )
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x" * 2_000_000)
    answer(tmp_path, share=100, megabytes=1)
    assert not old.exists()
    assert len(read(tmp_path)) == 240


def test_arms_beside_each_other_and_the_actual_values(tmp_path: Path) -> None:
    for alias in ("production", "candidate", "candidate"):  # what is asked twice counts once
        answer(tmp_path, alias, share=100)
    steps = pd.date_range("2024-03-01", periods=3, freq="D", tz="UTC")
    rows = pd.DataFrame(
        {
            "airport": np.repeat(ENTITIES[:10], 3),
            "carrier": "DL",
            "season": "spring",
            TIME: np.tile(steps, 10),
        }
    )
    rows = rows.assign(departures=9.0, delay=3.0, temp=1.0, **{"wind gust": 1.0})
    run = make_run(tmp_path, rows)
    result = compare(run)
    assert result["records"] == 3 * 240
    table = read(tmp_path).drop_duplicates(["arm", "airport", TIME, "target"])
    assert [(a["arm"], a["version"], a["target"]) for a in result["arms"]] == [
        ("candidate", 4, "delay"),
        ("candidate", 4, "departures"),
        ("production", 3, "delay"),
        ("production", 3, "departures"),
    ]
    for found in result["arms"]:
        its = table[(table["arm"] == found["arm"]) & (table["target"] == found["target"])]
        known = its[its["airport"].isin(ENTITIES[:10]) & (its[TIME] <= steps[-1])]
        assert (found["forecasts"], found["failed"], found["actuals"]) == (120, 0, len(known))
        assert found["MAE"] == pytest.approx(
            (known["mean"] - (9.0 if found["target"] == "departures" else 3.0)).abs().mean()
        )
        assert found["common"]["MAE"] == found["MAE"]
        assert "MASE" not in found  # the store has no season before the first origin
    assert "candidate" in run.said[0]


def test_mase_has_the_scale_of_what_was_known_at_the_first_origin(tmp_path: Path) -> None:
    """Departures of every series change by 4 a week up to the origin; later rows, which are 100
    higher, do not count in the scale.
    """
    answer(tmp_path, share=100)
    origin = read(tmp_path)["origin"].iloc[0]
    steps = pd.date_range(origin - pd.Timedelta(days=20), periods=24, freq="D")
    values = np.repeat([2.0, 6.0, 10.0], 7).tolist() + [100.0] * 3
    rows = pd.DataFrame({"airport": "A1", "carrier": "DL", "season": "spring", TIME: steps})
    rows = rows.assign(departures=values, delay=3.0, temp=1.0, **{"wind gust": 1.0})
    by_target = {arm["target"]: arm for arm in compare(make_run(tmp_path, rows))["arms"]}
    assert by_target["departures"]["actuals"] == 3
    assert by_target["departures"]["MASE"] == pytest.approx(by_target["departures"]["MAE"] / 4)
    assert "MASE" not in by_target["delay"]  # its season never changes: no scale


def test_a_disk_that_refuses_loses_records_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "state" / "serving").mkdir(parents=True)
    (tmp_path / "state" / "serving" / "records").write_text("a file where the folder should be")
    service = answer(tmp_path, share=100)
    assert b'framework_records_total{outcome="lost"} 240.0' in service.metrics.render()
