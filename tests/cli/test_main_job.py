"""The main job on the real data, each step the command a person types: what is served is what was
trained, bit for bit.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest

from framework.testing.servers import command

ROOT = Path(__file__).parents[2]
SMALL = ("model.n_estimators=10", "backtest.folds=2")


class Project:
    """A copy of this repository's compositions with a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "conf", folder / "conf")

    def command(self, *overrides: str) -> list[str]:
        return [sys.executable, "-m", "framework", "+experiment=xgb_daily", *overrides]

    def run(self, *overrides: str, code: int = 0, page: bool = False) -> dict[str, Any]:
        done = command.run("+experiment=xgb_daily", *overrides, cwd=self.folder, page=page)
        assert done.returncode == code, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if code:
            assert f"error: {result['error']}" in done.stderr.splitlines()
            assert "Traceback" not in done.stderr
        return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="module")
def trained(project: Project) -> dict[str, Any]:
    return project.run(*SMALL, page=True)


@pytest.fixture(scope="module")
def promoted(project: Project, trained: dict[str, Any]) -> dict[str, Any]:
    return project.run("run=promote", "alias=production", "gate.baseline_margin=10")


@pytest.fixture(scope="module")
def server(project: Project, promoted: dict[str, Any]) -> Iterator[str]:
    process = subprocess.Popen(
        project.command("run=serve", "serving.port=0"),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        assert (ready["run"], ready["status"], ready["pair"]["digest"]) == (
            "serve",
            "ready",
            promoted["pair"]["digest"],
        )
        yield ready["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert json.loads(process.stdout.read().splitlines()[-1])["status"] == "done"


@pytest.fixture(scope="module")
def offline(project: Project, promoted: dict[str, Any]) -> pd.DataFrame:
    result = project.run("run=predict", "alias=production", "predict.output=forecast.parquet")
    table = pd.read_parquet(project.folder / result["output"])
    assert len(table) == result["rows"] == 33 * 7 * 2
    return table


def expected(
    offline: pd.DataFrame, entity: dict[str, str], target: str, column: str
) -> list[float]:
    rows = offline[
        (offline.airport == entity["airport"])
        & (offline.carrier == entity["carrier"])
        & (offline.target == target)
    ]
    return rows.sort_values("step")[column].tolist()


def check(forecast: dict[str, Any], offline: pd.DataFrame) -> None:
    assert forecast["status"] == "ok"
    for target, answer in forecast["targets"].items():
        assert answer["mean"] == expected(offline, forecast["entity"], target, "mean")
        assert answer["quantiles"]["0.1"] == expected(offline, forecast["entity"], target, "q0.1")
        assert answer["quantiles"]["0.9"] == expected(offline, forecast["entity"], target, "q0.9")


def entities(offline: pd.DataFrame) -> list[dict[str, str]]:
    return offline[["airport", "carrier"]].drop_duplicates().to_dict("records")


def payload(project: Project) -> list[dict[str, Any]]:
    """The rows a client would send: what the store holds at each series' last step."""
    served = project.run("run=pairs")["pairs"][0]
    golden = _artifact(project, "model", served["version"]) / "data" / "golden.json"
    if not golden.is_file():
        golden = next(_artifact(project, "model", served["version"]).rglob("golden.json"))
    body = json.loads(golden.read_text())
    schema = json.loads(golden.with_name("schema.json").read_text())
    past = np.array(body["past"]["values"], dtype=object).reshape(body["past"]["shape"])
    return [
        dict(zip(schema["static"], static, strict=True))
        | {"event_timestamp": f"{origin}Z"}
        | dict(zip(schema["past"], row[-1].tolist(), strict=True))
        for static, origin, row in zip(body["static"], body["origins"], past, strict=True)
    ]


def _artifact(project: Project, half: str, version: int) -> Path:
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/state/mlflow.db")
    source = mlflow.MlflowClient().get_model_version(f"xgb_daily_{half}", str(version)).source
    return Path(mlflow.artifacts.download_artifacts(source))


def test_training_reports_figures_beside_the_baseline_and_a_page(trained: dict[str, Any]) -> None:
    assert (
        trained["run"],
        trained["status"],
        trained["pair"]["name"],
        trained["pair"]["version"],
    ) == ("train", "done", "xgb_daily", 1)
    for side in ("model", "baseline"):
        assert {"MAE", "RMSE", "WAPE", "MASE", "bias"} <= set(trained["metrics"][side])
    assert set(trained["metrics"]["targets"]) == {"departures", "mean_delay"}
    assert "<svg" in Path(trained["report"]).read_text()


def test_one_row_and_a_batch_from_the_store_equal_the_offline_forecast(
    server: str, offline: pd.DataFrame
) -> None:
    wanted = entities(offline)
    one = httpx.post(f"{server}/predict/feast", json={"entity": wanted[0], "at": None}).json()
    check(one["forecasts"][0], offline)
    many = httpx.post(
        f"{server}/predict/feast/batch",
        json={"entities": [*wanted, {"airport": "JFK", "carrier": "ZZ"}]},
    ).json()
    assert [f["entity"] for f in many["forecasts"][:-1]] == wanted
    for forecast in many["forecasts"][:-1]:
        check(forecast, offline)
    assert many["forecasts"][-1]["status"] == "unknown_entity"


def test_rows_in_the_payload_equal_the_offline_forecast(
    server: str, offline: pd.DataFrame, project: Project
) -> None:
    rows = payload(project)
    batch = httpx.post(f"{server}/predict", json={"rows": rows}).json()["forecasts"]
    single = [
        httpx.post(f"{server}/predict", json={"rows": [row]}).json()["forecasts"][0] for row in rows
    ]
    columns = httpx.post(
        f"{server}/predict", json={"columns": {k: [r[k] for r in rows] for k in rows[0]}}
    ).json()["forecasts"]
    assert batch == single == columns
    for forecast in batch:
        check(forecast, offline)


def test_plain_mlflow_gives_the_offline_forecast_from_both_halves(
    offline: pd.DataFrame, project: Project, promoted: dict[str, Any]
) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/state/mlflow.db")
    rows = payload(project)
    features = mlflow.pyfunc.load_model("models:/xgb_daily_preprocessor@production").predict(
        pd.DataFrame(rows)
    )
    answers = mlflow.pyfunc.load_model("models:/xgb_daily_model@production").predict(features)
    for i, row in enumerate(rows):
        for target in ("departures", "mean_delay"):
            for column in ("mean", "q0.1", "q0.9"):
                got = [answers[f"{target}__{column}__{step}"].iloc[i] for step in range(1, 8)]
                assert got == expected(offline, row, target, column)


def test_wrong_rows_are_refused_at_the_door_by_their_path(server: str, project: Project) -> None:
    row = payload(project)[0]
    wrong = [row, row | {"temp": "warm"}]
    answer = httpx.post(f"{server}/predict", json={"rows": wrong})
    assert (answer.status_code, answer.json()["error"]["path"]) == (422, "rows[1].temp")
    assert (
        httpx.post(f"{server}/predict/feast", json={"entity": {"airport": "JFK"}}).json()["error"][
            "path"
        ]
        == "entity.carrier"
    )
    assert httpx.get(f"{server}/health/ready").status_code == 200


def test_a_second_promotion_and_the_way_back(
    project: Project, promoted: dict[str, Any], server: str, offline: pd.DataFrame
) -> None:
    again = project.run(*SMALL, "seed=8", "model.subsample=0.5")
    assert again["pair"]["version"] == 2
    moved = project.run(
        "run=promote", "alias=production", "gate.margin=10", "gate.baseline_margin=10"
    )
    assert (moved["previous"], moved["pair"]["version"]) == (1, 2)
    back = project.run("run=rollback", "alias=production")
    assert (back["previous"], back["pair"]["version"]) == (2, 1)
    refused = project.run(
        "run=promote", "alias=production", "version=2", "gate.baseline_margin=-0.99", code=3
    )
    assert (refused["status"], refused["verdict"]["passed"]) == ("refused", False)
    assert [p["version"] for p in project.run("run=pairs")["pairs"]] == [2, 1]


@pytest.mark.gate_cases(6)
@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (("run=promote", "alias=production", "version=99"), 1, "99"),
        (("run=predict", "alias=nowhere"), 1, "nowhere"),
        (("run=rollback", "alias=nowhere"), 1, "alias 'nowhere' of 'xgb_daily' points at nothing"),
        (("run=promote",), 2, "alias: missing"),
        (("model=xgbost",), 2, "Did you mean 'xgboost'?"),
        (("model.max_dept=3",), 2, "max_depth"),
        (("panel.targets=[departure]",), 2, "Did you mean 'departures'?"),
        (("panel.horizon=400", "run=backtest"), 2, "lower backtest.folds or panel.horizon"),
        (("name=empty", "run=serve"), 1, "empty"),
        (("run=predict", "predict.device=gpu"), 2, "predict.device: 'gpu' is no device"),
        (("run=predict", "predict.device=cuda"), 2, "no GPU is visible here"),
        (("run=predict", "predict.device=cuda", "compute=processes"), 2, "goes with compute=local"),
        (("model.device=cuda",), 2, "model.device=cuda: no GPU is visible here"),
        (("run=serve", "serving.device=cuda"), 2, "serving.device=cuda: no GPU is visible"),
    ],
)
def test_a_mistake_is_one_line(
    project: Project, promoted: dict[str, Any], overrides: tuple[str, ...], code: int, message: str
) -> None:
    assert message in project.run(*overrides, code=code)["error"]


def test_a_busy_port_is_one_line(project: Project, server: str) -> None:
    port = server.rsplit(":", 1)[1]
    assert f"port {port}" in project.run("run=serve", f"serving.port={port}", code=1)["error"]
