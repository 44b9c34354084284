"""``run=serve``: which pair, which strategy, and what is refused before anything listens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.errors import ConfigError, RefusedError
from framework.interfaces.options import Options
from framework.interfaces.registry import ProvenPair
from framework.plugins import load_plugins
from framework.runs.serve import choose_strategy, serve
from framework.serving.deployment import Deployment
from framework.testing import fakes
from framework.testing.serving import VERSION, make_deployment, make_features


class _Registry:
    """One proven pair; remembers what it was asked."""

    def __init__(self, proven: ProvenPair) -> None:
        self.proven, self.asked = proven, list[tuple[str, str]]()

    def resolve(self, name: str, reference: str) -> Any:
        self.asked.append((name, reference))
        return self.proven.version

    def fetch(self, version: Any) -> ProvenPair:
        return self.proven


class _Backend:
    """Announces and returns."""

    def __init__(self) -> None:
        self.served: list[Deployment] = []

    def serve(self, deployment: Deployment) -> None:
        self.served.append(deployment)
        deployment.announce("http://here:1")


def make_run(directory: Path, **changed: Any) -> Any:
    parts = {
        "registry": _Registry(make_deployment(directory, None).proven),
        "serving": _Backend(),
        "retrieval": fakes.FakeRetrieval(Options()),
    }
    values = {"name": "fake", "alias": None, "version": None, "features": make_features(), **changed}
    config = SimpleNamespace(**values, component=lambda group: SimpleNamespace(name="fake"))
    emitted: list[dict[str, Any]] = []
    plugins = load_plugins(extra=[fakes])
    return SimpleNamespace(
        config=config, plugins=plugins, make=parts.__getitem__, emit=emitted.append, say=print, parts=parts, emitted=emitted
    )


def test_the_pair_of_the_alias_is_served_and_announced(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stamp = VERSION.stamp("production")
    assert serve(run) == {"pair": stamp, "url": "http://here:1"}
    assert run.emitted == [{"run": "serve", "status": "ready", "pair": stamp, "url": "http://here:1"}]
    assert run.parts["registry"].asked == [("fake", "production")]
    assert run.parts["serving"].served[0].strategy is run.parts["retrieval"]


def test_a_version_is_served_without_an_alias(tmp_path: Path) -> None:
    run = make_run(tmp_path, version=3)
    assert serve(run)["pair"]["alias"] is None
    assert run.parts["registry"].asked == [("fake", "3")]
    with pytest.raises(ConfigError, match="alias=production and version=3"):
        serve(make_run(tmp_path / "again", version=3, alias="production"))


def test_nothing_is_served_that_does_not_answer_its_golden_batch(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    golden = tmp_path / "model" / "golden.json"
    golden.write_text(golden.read_text().replace('"values": [1', '"values": [2', 1))
    with pytest.raises(RefusedError, match="golden batch differs"):
        serve(run)
    assert run.parts["serving"].served == []
    assert run.emitted == []


def test_a_strategy_that_looks_nothing_up_leaves_the_server_without_a_store() -> None:
    class Payload(fakes.FakeRetrieval):
        max_context_length = 0

    assert choose_strategy(Payload(Options()), "payload", fakes.make_schema(), make_features()) is None


def test_a_strategy_with_too_short_a_history_is_refused() -> None:
    class Latest(fakes.FakeRetrieval):
        max_context_length = 1

    schema = fakes.make_schema(context_length=14)
    with pytest.raises(ConfigError, match="retrieval=latest gives 1 steps of history, the pair 'fake' needs 14"):
        choose_strategy(Latest(Options()), "latest", schema, make_features())
    assert choose_strategy(Latest(Options()), "latest", fakes.make_schema(), make_features()) is not None


def test_an_experiment_that_lacks_a_column_of_the_pair_is_refused() -> None:
    schema = fakes.make_schema(past=("departures", "delay", "temp", "wind gust", "pressure"))
    with pytest.raises(ConfigError, match=r"trained on \['pressure'\], which the views lack"):
        choose_strategy(fakes.FakeRetrieval(Options()), "fake", schema, make_features())
