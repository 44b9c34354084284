"""``retrieval=feast`` keeps the contract of retrieval strategies on every online store that can be
had here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from feast_cases import options
from framework_feast.retrieval import FeastRetrieval
from moto.server import ThreadedMotoServer

from framework.testing.contracts.retrieval import RetrievalContract


class TestSqlite(RetrievalContract):
    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path))


class TestSqliteWindows(RetrievalContract):
    """A store that keeps windows answers one step the same."""

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path, window=5))


@pytest.mark.stress
class TestSdk(RetrievalContract):
    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path, read="sdk"))


@pytest.mark.stress
class TestRedis(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_place: str) -> None:
        self.place = redis_place

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path, "redis", self.place))


@pytest.mark.stress
class TestPostgres(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_place: str) -> None:
        self.place = postgres_place

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path, "postgres", self.place))


@pytest.fixture(scope="module")
def dynamodb_place() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.mark.stress
class TestDynamoDB(RetrievalContract):
    @pytest.fixture(autouse=True)
    def _server(self, dynamodb_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = dynamodb_place
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")

    def make(self, tmp_path: Path) -> FeastRetrieval:
        return FeastRetrieval(options(tmp_path, "dynamodb", self.place))
