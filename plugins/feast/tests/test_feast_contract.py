"""``retrieval=feast`` keeps the contract of retrieval strategies."""

from pathlib import Path

from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval

from framework.testing.retrieval import RetrievalContract


def local_store(root: Path) -> dict[str, object]:
    return {
        "project": "contract",
        "provider": "local",
        "registry": {"path": str(root / "feast" / "registry.db"), "serve_features_while_materializing": True},
        "online_store": {"type": "sqlite", "path": str(root / "feast" / "online.db")},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
    }


class TestFeast(RetrievalContract):
    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(FeastOptions(store=local_store(tmp_path), state=tmp_path / "offline"))
