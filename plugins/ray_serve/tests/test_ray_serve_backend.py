"""The Ray Serve backend: the shared contract."""

from __future__ import annotations

import os

import httpx
import psutil

from framework.testing.backend import ServingContract
from framework.testing.live import LiveServingContract

from .conftest import Fresh


class TestRayServe(ServingContract):
    backend = "ray"
    options = Fresh()  # type: ignore[assignment]

    def is_gone(self, url: str) -> bool:
        """Ray Serve's proxy stays for the other applications."""
        return httpx.get(f"{url}/health/live", timeout=30).status_code in (404, 503)


class TestRayServeLive(LiveServingContract):
    backend = "ray"
    options = Fresh()  # type: ignore[assignment]

    def processes_of(self, pid: int) -> list[psutil.Process]:
        """Replicas are below the Ray that the tests share."""
        return super().processes_of(os.getpid())
