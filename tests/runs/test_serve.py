"""``run=serve``: which pair, which features, and what is refused before anything listens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.errors import ConfigError, RefusedError
from framework.options import Options
from framework.runs import serve as serve_module
from framework.runs.serve import serve
from framework.serving.deployment import Deployment
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import VERSION, FakeParts, make_deployment, make_features


class _Backend:
    """Opens the pair, announces, returns."""

    def __init__(self) -> None:
        self.served: list[Deployment] = []

    def serve(self, deployment: Deployment, announce: Callable[..., None]) -> None:
        service = Service(deployment, ServingOptions())
        self.served.append(deployment)
        announce("http://here:1", service.arms.table.primary.version)


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**changed: Any) -> Any:
        make_deployment(tmp_path)
        monkeypatch.setattr(serve_module, "Components", lambda *_: FakeParts(tmp_path))
        values = {
            "name": "fake",
            "alias": None,
            "version": None,
            "features": make_features(),
            "paths": SimpleNamespace(state=tmp_path),
        }
        config = SimpleNamespace(
            **{**values, **changed}, component=lambda group: SimpleNamespace(name="fake")
        )
        backend, emitted = _Backend(), list[dict[str, Any]]()
        return SimpleNamespace(
            config=config,
            plugins=None,
            make=lambda group: backend,
            emit=emitted.append,
            say=print,
            backend=backend,
            emitted=emitted,
        )

    return make


def test_the_pair_of_the_alias_is_served_and_announced(make_run: Any) -> None:
    run = make_run()
    stamp = VERSION.stamp("production")
    assert serve(run) == {"pair": stamp, "url": "http://here:1"}
    assert run.emitted == [
        {"run": "serve", "status": "ready", "pair": stamp, "url": "http://here:1"}
    ]
    assert run.backend.served[0].reference == "production"


def test_a_version_is_served_without_an_alias(make_run: Any) -> None:
    assert serve(make_run(version=3))["pair"]["alias"] is None
    with pytest.raises(ConfigError, match="alias=production and version=3"):
        serve(make_run(version=3, alias="production"))


def test_nothing_is_served_that_does_not_answer_its_golden_batch(
    make_run: Any, tmp_path: Path
) -> None:
    run = make_run()
    FolderRegistry(tmp_path).change_answers(3)
    with pytest.raises(RefusedError, match="golden batch differs"):
        serve(run)
    assert run.backend.served == []
    assert run.emitted == []


def test_a_strategy_that_looks_nothing_up_leaves_the_server_without_a_store(tmp_path: Path) -> None:
    assert make_deployment(tmp_path, store=False).strategy is None


def test_a_strategy_with_too_short_a_history_is_refused(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)

    class Latest(fakes.FakeRetrieval):
        max_context_length = 1

    vars(deployment)["strategy"] = Latest(Options())
    with pytest.raises(
        ConfigError, match="retrieval=fake gives 1 steps of history, the pair 'fake' needs 14"
    ):
        deployment.check(fakes.make_schema(context_length=14))
    deployment.check(fakes.make_schema())


def test_an_experiment_that_lacks_a_column_of_the_pair_is_refused(tmp_path: Path) -> None:
    schema = fakes.make_schema(past=("departures", "delay", "temp", "wind gust", "pressure"))
    with pytest.raises(ConfigError, match=r"trained on \['pressure'\], which the views lack"):
        make_deployment(tmp_path).check(schema)


def test_a_deployment_goes_to_another_process_without_what_it_opened(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.load(deployment.resolve("production"))
    again = pickle.loads(pickle.dumps(deployment))
    assert again.resolve("production") == VERSION
    assert "_registry" in vars(deployment)
    assert set(vars(pickle.loads(pickle.dumps(deployment)))) == {
        "parts",
        "name",
        "reference",
        "features",
        "retrieval",
        "state",
    }
