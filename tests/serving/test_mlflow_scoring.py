"""A real server that follows an alias of a real MLflow registry: promotions under load, a changed
byte, a registry that is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.serving.app.examples import example_payload
from framework.testing import fakes
from framework.testing.contracts.drafts import install_fakes, make_draft
from framework.testing.servers.asking import asking, wait_for
from framework.testing.servers.fake_server import Client

VERSIONS = (1, 2, 3, 4)

#: What ``run=serve`` does, with the fakes' features.
SERVER = """
import sys
from pathlib import Path
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from framework.plugins.discovery import load_plugins
from framework.serving.deployment import Deployment
from framework.testing.servers.fake_server import FakeParts, make_features

class Parts(FakeParts):
    def __init__(self):
        self.store, self.plugins = True, load_plugins()
        self.ledger = {"share": 0}

    def make(self, group):
        return MlflowRegistry(MlflowOptions.model_validate_json(sys.argv[1])) if group == "registry" else super().make(group)

parts = Parts()
plugins = parts.plugins
backend = plugins.load("serving", "fastapi")(plugins.find("serving", "fastapi").options(port=0, reload={"seconds": 0.2}))
deployment = Deployment(parts, "fake", "production", make_features(), "fake", Path(sys.argv[2]))
backend.serve(deployment, lambda url, _: print(url, flush=True))
"""  # noqa: E501


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowRegistry:
    """Four pairs that answer differently, the first in production."""
    monkeypatch.setenv("PYTHONPATH", install_fakes(tmp_path / "site"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    places = {
        "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "ledger": f"sqlite:///{tmp_path}/ledger.db",
    }
    options = MlflowOptions(
        **places,
        artifact_location=f"{tmp_path}/artifacts",
        cache=f"{tmp_path}/cache",
        experiment="tests",
    )
    made = MlflowRegistry(options)
    for number in VERSIONS:
        made.register(
            make_draft(tmp_path / f"draft {number}", shift=float(number)), f"run {number}"
        )
    made.move("fake", "production", 1, expected=None)
    return made


@pytest.fixture
def url(registry: MlflowRegistry, tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-c", SERVER, registry.options.model_dump_json(), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.stress
def test_promotions_and_a_rollback_under_load(
    registry: MlflowRegistry, url: str, tmp_path: Path
) -> None:
    pairs = {pair.version: pair for pair in registry.pairs("fake")}
    row = example_payload(fakes.make_schema(), fakes.make_pair()[1])["rows"][0]
    expected = {number: fakes.make_pair(shift=float(number))[0] for number in VERSIONS}
    context = fakes.make_pair()[1].context.take(np.array([0]))
    with asking(url, every=0.02, json={"rows": [row]}) as answers:
        wait_for(lambda: bool(answers))
        for before, after in ((1, 2), (2, 3), (3, 4), (4, 3)):
            registry.move("fake", "production", after, expected=before)
            wait_for(lambda n=after: answers[-1].json()["pair"]["version"] == n)  # type: ignore[misc]
    assert {answer.status_code for answer in answers} == {200}
    stamps = [answer.json()["pair"] for answer in answers]
    versions = [stamp["version"] for stamp in stamps]
    assert [n for n, before in zip(versions, [None, *versions], strict=False) if n != before] == [
        1,
        2,
        3,
        4,
        3,
    ]
    offline = {number: pair.forecast(context).values for number, pair in expected.items()}
    for answer, stamp in zip(answers, stamps, strict=True):
        assert stamp == pairs[stamp["version"]].stamp("production")
        assert Client.values(answer).tobytes() == offline[stamp["version"]].tobytes()

    state = next(p for p in sorted(registry.fetch(pairs[2]).model.rglob("model.json")))
    state.write_text(state.read_text().replace("3", "4"))
    registry.move("fake", "production", 2, expected=3)
    wait_for(lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "degraded")
    assert (
        "was changed"
        in httpx.get(f"{url}/health/ready", timeout=30).json()["reasons"]["production"]
    )
    assert (
        httpx.post(f"{url}/predict", json={"rows": [row]}, timeout=30).json()["pair"]["version"]
        == 3
    )
    found = httpx.post(f"{url}/admin/reload", timeout=30).json()["aliases"]
    assert [(entry["alias"], entry["version"], entry["status"]) for entry in found] == [
        ("production", 3, "refused")
    ]

    registry.move("fake", "production", 4, expected=2)
    found = httpx.post(f"{url}/admin/reload", timeout=30).json()["aliases"]
    wait_for(lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "ready")
    assert (found[0]["alias"], found[0]["version"]) == ("production", 4)

    ledger = tmp_path / "ledger.db"
    ledger.write_bytes(b"not a database any more" * 1000)
    wait_for(lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "degraded")
    assert (
        httpx.post(f"{url}/predict", json={"rows": [row]}, timeout=30).json()["pair"]["version"]
        == 4
    )
