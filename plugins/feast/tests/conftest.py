"""Real servers, one of each kind for a file of tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework.testing.servers import postgresql, redis

sys.path.insert(0, str(Path(__file__).parent))  # tests and their child processes import feast_cases


@pytest.fixture(scope="module")
def redis_place() -> Iterator[str]:
    with redis.server() as running:
        yield running.place


@pytest.fixture(scope="module")
def postgres_place() -> Iterator[str]:
    with postgresql.server() as place:
        yield place


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """Of the store that a test is parametrized with as ``kind``; SQLite is a file."""
    kind = request.getfixturevalue("kind")
    return "" if kind == "sqlite" else str(request.getfixturevalue(f"{kind}_place"))
