"""The tests of this folder share a mock cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kafka_cases import MockCluster


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    """Start brokers in this process; they end with it."""
    return MockCluster()
