"""What the driver waits for, and what it says when a service does not start. No Ray is started."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from framework_ray_serve import RayServeOptions
from framework_ray_serve.backend import _wait
from framework_ray_serve.stages import services
from ray import serve
from ray.serve.schema import ApplicationStatusOverview, ServeStatus

from framework.errors import FrameworkError, RefusedError
from framework.serving.deployment import Deployment


def _fails_with(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    application = ApplicationStatusOverview(
        status="DEPLOY_FAILED", message=message, last_deployed_time_s=0.0, deployments={}
    )
    monkeypatch.setattr(serve, "status", lambda: ServeStatus(applications={"shops": application}))


def test_what_refuses_the_pair_is_said_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise RefusedError("pair 'shops': the golden batch differs")

    _fails_with("The deployment failed to start 3 times in a row.", monkeypatch)
    with pytest.raises(RefusedError, match="the golden batch differs"):
        _wait("shops", 5, refused)
    with pytest.raises(FrameworkError, match="did not start: The deployment failed to start"):
        _wait("shops", 5, lambda: None)


def test_a_worker_imports_no_service_and_the_driver_no_library_of_a_model() -> None:
    """Ray's controller and proxy are workers, too."""
    code = (
        "import sys, framework_ray_serve.worker_imports\n"
        "assert 'framework_ray_serve.application' not in sys.modules\n"
        "import framework_ray_serve.application\n"
        "print(*{'xgboost', 'sklearn', 'torch', 'mlflow', 'feast'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["FeastService", "PreprocessingService", "ModelService"])
def test_a_replica_keeps_freed_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(services, "keep_freed_memory", lambda: calls.append(name))
    monkeypatch.setattr(services, "device_here", lambda _: "cpu")  # asks Ray
    deployment = Deployment(None, "shops", "1", None, "payload", Path())  # type: ignore[arg-type]
    replica = object.__new__(getattr(services, name))
    asyncio.run(replica.__init__(deployment, RayServeOptions(), []))
    assert calls == [name]
