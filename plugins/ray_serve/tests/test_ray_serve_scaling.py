"""Autoscaling follows what the replicas report of themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from framework_ray_serve.policies import Holding


@pytest.mark.parametrize(
    ("reported", "now", "wanted"), [({"a": 160.0}, 1, 2.0), ({"a": 20.0, "b": 20.0}, 2, 1.0), ({"a": 84.0}, 3, 3), ({}, 2, 2)]
)
def test_the_number_of_replicas_follows_the_mean_of_what_they_report(reported: dict[str, float], now: int, wanted: float) -> None:
    context: Any = SimpleNamespace(aggregated_metrics={"cpu_percent": reported}, current_num_replicas=now, target_num_replicas=now)
    assert Holding("cpu_percent", 80.0)(context) == (wanted, {})
