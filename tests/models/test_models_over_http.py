"""Every family of models, end to end on a project of a user's own: train, register, promote, serve
over HTTP; the forecasts are equal.

The runs are those of the command line, in this process; the registry is MLflow's, the server
uvicorn on a free port.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from framework_fastapi import single
from hydra import compose, initialize_config_dir

from framework.config.catalog import Plugins
from framework.config.config import build_config
from framework.pairs.loading import load_pair
from framework.plugins import composition as offers
from framework.plugins.discovery import load_plugins
from framework.plugins.execute import execute
from framework.plugins.run import Run
from framework.serving.app.examples import example_payload
from framework.testing.servers.fake_server import Client

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
TINY = ("model.n_epochs=1", "model.batch_size=128", "model.input_chunk_length=14")
MODELS: dict[str, tuple[str, ...]] = {
    "xgboost": (
        "model.n_estimators=5",
        "model.n_jobs=1",
        "model.seasonal_lags=[7]",
        "model.difference=[sales]",
    ),
    "lightgbm": ("model.n_estimators=5", "model.n_jobs=1", "model.log=[sales]"),
    "nlinear": TINY,
    "tft": (*TINY, "model.hidden_size=4", "model.num_attention_heads=2"),
    "auto_theta": ("model.context_length=28", "model.model=STM"),
    "seasonal_naive": (),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(
        shutil.copytree(
            EXAMPLE,
            tmp_path_factory.mktemp("served") / "project",
            ignore=shutil.ignore_patterns("state"),
        )
    )


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    found = load_plugins()
    offers.register(found)
    return found


class Project:
    def __init__(self, folder: Path, plugins: Plugins, model: str) -> None:
        self.folder, self.plugins, self.name, self.model = folder, plugins, f"shops_{model}", model

    def run(self, *overrides: str) -> Run:
        own = (
            f"name={self.name}",
            f"model={self.model}",
            *MODELS[self.model],
            "backtest.folds=3",
            "backtest.refit=false",
        )
        lags = (
            "features.views.sales.engineer=[{op: lag, columns: [sales], steps: [1, 2, 3, 4, 5, 6]}]"
        )
        place = (
            lags,
            f"paths.state={self.folder}/state",
            f"source.files.sales={self.folder}/data/sales.csv",
        )
        with initialize_config_dir(str(self.folder / "conf"), version_base="1.3"):
            config = build_config(
                compose("config", ["+experiment=shops", *own, *place, *overrides]), self.plugins
            )
        directory = self.folder / "runs" / f"{self.name}_{config.run}"
        directory.mkdir(parents=True)
        return Run(config, self.plugins, directory, lambda _: None)

    def do(self, *overrides: str) -> dict[str, Any]:
        return execute(self.run(*overrides))

    @contextmanager
    def served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        """``run=serve`` in a thread; what it announces. It drains when the block ends."""
        servers: list[single.DrainingServer] = []
        ready: Queue[dict[str, Any] | BaseException] = Queue()

        class Kept(single.DrainingServer):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                servers.append(self)

        def work() -> None:
            try:
                execute(run)
            except BaseException as error:  # noqa: BLE001  the test raises it
                ready.put(error)

        monkeypatch.setattr(single, "DrainingServer", Kept)
        run = self.run("run=serve", "serving.port=0")
        run.emit = ready.put
        thread = threading.Thread(target=work)
        thread.start()
        announced = ready.get(timeout=120)
        if isinstance(announced, BaseException):
            raise announced
        try:
            yield announced
        finally:
            servers[0].should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "model",
    [
        model if model == "xgboost" else pytest.param(model, marks=pytest.mark.stress)
        for model in MODELS
    ],
)
def test_from_rows_to_an_answer(
    model: str, folder: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(folder, plugins, model)
    trained = project.do()
    assert trained["metrics"]["model"]["MAE"] > 0
    assert trained["series"]["no_forecast"]["windows"] == 0
    promoted = project.do("run=promote", "alias=production", "gate.baseline_margin=1000")
    assert promoted["pair"]["digest"] == trained["pair"]["digest"]
    offline = pd.read_parquet(project.do("run=predict", "alias=production")["output"])
    assert (offline["status"] == "ok").all()
    with (
        project.served(monkeypatch) as ready,
        httpx.Client(base_url=ready["url"], timeout=60) as client,
    ):
        assert ready["pair"]["digest"] == trained["pair"]["digest"]
        shops = [{"shop": shop} for shop in offline["shop"].unique()]
        answer = client.post("/predict/feast/batch", json={"entities": shops, "levels": [50, 80]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["pair"]["digest"] == trained["pair"]["digest"]
        for forecast in answer.json()["forecasts"]:
            expected = offline[offline["shop"] == forecast["entity"]["shop"]].sort_values("step")
            found = forecast["targets"]["sales"]
            assert found["mean"] == expected["mean"].tolist()
            narrow, wide = found["intervals"]["50"], found["intervals"]["80"]
            for low, inner_low, inner_high, high in zip(
                wide["lower"], narrow["lower"], narrow["upper"], wide["upper"], strict=True
            ):
                assert low <= inner_low <= inner_high <= high
        loaded = load_pair(
            project.run("run=pairs").make("registry"), plugins, project.name, "production"
        )
        for window in range(len(loaded.golden.context)):
            sent = client.post(
                "/predict", json=example_payload(loaded.pair.schema, loaded.golden, window)
            )
            assert np.array_equal(Client.values(sent)[0], loaded.golden.values[window])
