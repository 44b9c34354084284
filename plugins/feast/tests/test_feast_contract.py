"""``retrieval=feast`` keeps the contract of retrieval strategies on every online store that can be had here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval
from moto.server import ThreadedMotoServer

from framework.testing import postgresql, redis
from framework.testing.retrieval import RetrievalContract


def store(root: Path, online: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "project": "contract",
        "provider": "local",
        "registry": {"path": str(root / "feast" / "registry.db"), "serve_features_while_materializing": True},
        "online_store": online,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
        **changes,
    }


def make(root: Path, online: dict[str, Any], **options: Any) -> FeastRetrieval:
    project = f"t{crc32(str(root).encode())}"  # tests share a server, not a project
    return FeastRetrieval(FeastOptions(store=store(root, online, project=project), state=root / "offline", timeout=30, **options))


class TestSqlite(RetrievalContract):
    def make(self, tmp_path: Path) -> FeastRetrieval:
        return make(tmp_path, {"type": "sqlite", "path": str(tmp_path / "feast" / "online.db")})


class TestSqliteWindows(RetrievalContract):
    """A store that keeps windows answers one step the same."""

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return make(tmp_path, {"type": "sqlite", "path": str(tmp_path / "feast" / "online.db")}, window=5)


class TestSdk(RetrievalContract):
    def make(self, tmp_path: Path) -> FeastRetrieval:
        return make(tmp_path, {"type": "sqlite", "path": str(tmp_path / "feast" / "online.db")}, read="sdk")


@pytest.fixture(scope="module")
def redis_place() -> Iterator[str]:
    with redis.server() as running:
        yield running.place


class TestRedis(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_place: str) -> None:
        self.place = redis_place

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return make(tmp_path, {"type": "redis", "connection_string": self.place})


@pytest.fixture(scope="module")
def postgres_place() -> Iterator[str]:
    with postgresql.server() as place:
        yield place


class TestPostgres(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_place: str) -> None:
        self.place = postgres_place

    def make(self, tmp_path: Path) -> FeastRetrieval:
        address, _, database = self.place.partition("/")
        host, _, port = address.partition(":")
        online = {"type": "postgres", "host": host, "port": int(port), "database": database, "user": "tests", "password": "tests"}
        return make(tmp_path, {**online, "sslmode": "disable"})


@pytest.fixture(scope="module")
def dynamodb_place() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


class TestDynamoDB(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, dynamodb_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = dynamodb_place
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return make(tmp_path, {"type": "dynamodb", "region": "us-east-1", "endpoint_url": self.place})
