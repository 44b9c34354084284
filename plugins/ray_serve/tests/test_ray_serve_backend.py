"""The Ray Serve backend: the shared contract."""

from __future__ import annotations

import httpx

from framework.testing.backend import ServingContract

from .conftest import Fresh


class TestRayServe(ServingContract):
    backend = "ray"
    options = Fresh()  # type: ignore[assignment]

    def is_gone(self, url: str) -> bool:
        """Ray Serve's proxy stays for the other applications."""
        return httpx.get(f"{url}/health/live", timeout=30).status_code in (404, 503)
