"""A running server whose Redis goes away and comes back; a Redis that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from feast_cases import options
from framework_feast.retrieval import FeastRetrieval

from framework.data.vocabulary import TIME
from framework.serving.app.examples import example_payload
from framework.testing import fakes
from framework.testing.servers import redis
from framework.testing.servers.fake_server import make_features

ENTITY = {"airport": "JFK", "carrier": "DL"}
_SERVER = """
import sys
from pathlib import Path
from feast_cases import options
from framework_feast.retrieval import FeastRetrieval
from framework.serving.deployment import Deployment
from framework.testing.servers import fake_server as serving

class Parts(serving.FakeParts):
    def make(self, group):
        made = options(root, "redis", sys.argv[2], timeout=1.0)
        return FeastRetrieval(made) if group == "retrieval" else super().make(group)

root = Path(sys.argv[1])
serving.make_deployment(root / "pairs")
deployment = Deployment(Parts(root / "pairs"), "fake", "production", serving.make_features(), "feast", root / "serving")
plugins = deployment.parts.plugins
backend = plugins.load("serving", "fastapi")(plugins.find("serving", "fastapi").options(port=0))
backend.serve(deployment, lambda url, _: print(url, flush=True))
"""  # noqa: E501


def fill(root: Path, place: str) -> None:
    strategy, features = FeastRetrieval(options(root, "redis", place)), make_features()
    numbers = {"departures": 5.0, "delay": 1.5, "temp": 20.0, "wind gust": None}
    rows = pd.DataFrame(
        [{**ENTITY, TIME: pd.Timestamp("2024-03-01", tz="UTC"), **numbers, "season": "summer"}]
    )
    strategy.ingest(features, "daily", rows)
    strategy.materialize(features, None, None, lambda _: None)


def test_a_server_outlives_its_store(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with redis.server() as store:
        fill(tmp_path, store.place)
        command = [sys.executable, "-c", _SERVER, str(tmp_path), store.place]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http")
            with httpx.Client(base_url=url, timeout=60) as http:
                _ask_while_the_store_goes_and_comes(http, store, tmp_path)
        finally:
            process.kill()
            process.wait()


def _ask_while_the_store_goes_and_comes(
    http: httpx.Client, store: redis.RedisServer, root: Path
) -> None:
    def looked_up() -> httpx.Response:
        return http.post(
            "/predict/feast/batch", json={"entities": [ENTITY, {"airport": "LGA", "carrier": "DL"}]}
        )

    pair, golden = fakes.make_pair()
    payload = example_payload(pair.schema, golden)
    before = looked_up().json()["forecasts"]
    assert [f["status"] for f in before] == ["ok", "unknown_entity"]
    assert before[0]["features"] == {
        "daily": {"event_timestamp": "2024-03-01T00:00:00Z", "stale": False}
    }
    assert before[1]["features"]["daily"]["event_timestamp"] is None
    answered = http.post("/predict", json=payload)
    assert answered.status_code == 200
    assert "features" not in answered.json()["forecasts"][0]
    store.stop()
    for _ in range(2):
        gone = looked_up()
        assert gone.status_code == 503
        assert int(gone.headers["retry-after"]) >= 1
        assert f"redis at {store.place}" in gone.json()["error"]["message"]
        assert http.post("/predict", json=payload).status_code == 200
        assert http.get("/health/ready").status_code == 200
    assert f"redis at {store.place}" in reason(http)
    store.start()
    empty = looked_up()  # as it came back
    assert (empty.status_code, int(empty.headers["retry-after"])) == (503, 1)
    assert "has no entity of view 'daily'; run=materialize" in empty.json()["error"]["message"]
    assert (
        reason(http, "no entity")
        == "the feature store has no entity of view 'daily'; run=materialize."
    )
    assert 'framework_degraded{arm="feature_store"} 1.0' in http.get("/metrics").text
    fill(root, store.place)
    assert looked_up().json()["forecasts"] == before
    assert reason(http, None) == ""
    assert 'framework_degraded{arm="feature_store"} 0.0' in http.get("/metrics").text


def reason(http: httpx.Client, words: str | None = "") -> str:
    """What the readiness says of the store, once it has ``words``; None: once it says nothing."""
    for _ in range(100):
        answer = http.get("/health/ready")
        said = str(answer.json().get("reasons", {}).get("feature_store", ""))
        assert answer.json()["status"] == ("degraded" if said else "ready")
        if said == "" if words is None else words in said and said:
            return said
        time.sleep(0.1)
    raise AssertionError(f"the readiness went on to say {answer.text}")


def test_a_store_that_hangs_is_given_up(tmp_path: Path) -> None:
    with redis.server() as store:
        fill(tmp_path, store.place)
        process: Any = store._process
        process.send_signal(signal.SIGSTOP)
        try:
            command = [sys.executable, "-c", _HANGING, str(tmp_path), store.place]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
        finally:
            process.send_signal(signal.SIGCONT)
    assert "did not answer within 0.2 s (retrieval.timeout)" in done.stdout, done.stderr


_HANGING = """
import asyncio, sys
from pathlib import Path
from feast_cases import options
from framework_feast.retrieval import FeastRetrieval
from framework.errors import DataError
from framework.testing import fakes; from framework.testing.servers import fake_server as serving

strategy = FeastRetrieval(options(Path(sys.argv[1]), "redis", sys.argv[2], timeout=0.2))
try:
    asyncio.run(strategy.context(serving.make_features(), fakes.make_schema(), [{"airport": "JFK", "carrier": "DL"}], None))
except DataError as error:
    print(error)
"""  # noqa: E501
