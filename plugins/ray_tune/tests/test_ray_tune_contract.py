"""``tuner=ray`` and ``compute=ray`` keep their contracts, in one Ray."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from framework_ray_tune import RayComputeOptions, RayTuneOptions
from framework_ray_tune.cluster import connected
from framework_ray_tune.compute import RayCompute
from framework_ray_tune.tuner import RayTuner

from framework.testing.contracts.compute import ComputeContract
from framework.testing.contracts.tuner import TunerContract

RAY = {"address": None, "num_cpus": 2, "dashboard": False, "object_store_memory": 100_000_000}


@pytest.fixture(scope="module", autouse=True)
def _connected() -> Iterator[None]:
    with connected(RayComputeOptions.model_validate(RAY)):
        yield


@pytest.mark.stress
class TestRayCompute(ComputeContract):
    def make(self) -> RayCompute:
        return RayCompute(RayComputeOptions.model_validate(RAY))


@pytest.mark.stress
class TestRayTuner(TunerContract):
    def make(self) -> RayTuner:
        return RayTuner(
            RayTuneOptions.model_validate({**RAY, "search": "random", "scheduler": "none"})
        )
