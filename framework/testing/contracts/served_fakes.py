"""One server of a pair of fakes, for all checks of the contract of serving backends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest

from framework.testing import fakes
from framework.testing.servers.fake_server import (
    Client,
    server_process,
)


class ServedFakes:
    """``backend`` and ``options``: the component and its options."""

    backend: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
        """Start one server for all checks.

        Args:
            tmp_path_factory: Makes its folder.

        Yields:
            A client of the server.
        """
        limited = {**cls.options, "max_rows": 50, "max_body_bytes": 65_536}
        with (
            server_process(cls.backend, limited, tmp_path_factory.mktemp("pair")) as (_, url),
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            yield Client(http, fakes.make_pair(shift=3.0)[1])
