"""One question, every door, with the features in Feast: the server reads the online store, the
batch and the backtest the offline one.
"""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from framework.plugins import composition as offers
from framework.plugins.discovery import load_plugins
from framework.serving.app.app import create_app
from framework.serving.deployment import Deployment
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.door_projects import KEYS, SERIES, Kind, ask, trained

STORE = """
project: doors
provider: local
registry: {path: "${paths.state}/feast/registry.db"}
online_store: {type: sqlite, path: "${paths.state}/feast/online.db"}
offline_store: {type: duckdb}
entity_key_serialization_version: 3
materialization: {pull_latest_features: true}
"""
CONFIG = "defaults: [framework, {override /feature_store: local}, _self_]\n"
#: Two days behind the other series of its shop, more than the ttl of the plan: its plan is not
#: kept online.
LAGGING = ("north", "12")
KIND = Kind(
    "stored",
    ("model=xgboost", "model.n_estimators=8", "model.n_jobs=1"),
    retrieval="feast",
    config=CONFIG,
)


def serve(deployment: Deployment) -> TestClient:
    return TestClient(
        create_app(Service(deployment, ServingOptions())),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    )


def test_every_door_gives_the_same(tmp_path: Path) -> None:
    """At the newest origins: an online store holds no others."""
    (tmp_path / "conf/feature_store").mkdir(parents=True)
    (tmp_path / "conf/feature_store/local.yaml").write_text(STORE)
    plugins = load_plugins()
    offers.register(plugins)
    with trained(tmp_path, plugins, KIND, serve) as project:
        statuses = set()
        for entity, newest in {**SERIES, ("nowhere", "7"): 39}.items():
            for origin in (None, newest, newest + 1) if entity != LAGGING else ():
                statuses.add(ask(project, entity, origin)["/predict/feast"].status)
        assert statuses == {"ok", "missing_feature", "stale", "unknown_entity"}
        answers = project.doors.looked_up(dict(zip(KEYS, LAGGING, strict=True)), None)
        assert (
            answers["/predict/feast"].status == "missing_feature"
        )  # nothing made up; the batch has the plan of these days
