"""The part of the contract of serving backends that is about operating them: metrics, identifiers,
many clients, overload, a stop.

:class:`framework.testing.contracts.serving.ServingContract` holds it.
"""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import numpy as np
import pytest

from framework.testing.contracts.findings import equal
from framework.testing.contracts.served_fakes import ServedFakes
from framework.testing.servers.fake_server import (
    ENTITY,
    Client,
    make_row,
    server_process,
    slow_request,
)


class OperationContract(ServedFakes):
    """A server counts, refuses what is too much and ends without losing a request."""

    def test_every_response_has_an_id_and_the_headers_of_safety(self, client: Client) -> None:
        cause = "the middleware of create_app sets it on every response, errors too"
        for method, path in (
            ("POST", "/predict"),
            ("GET", "/pair"),
            ("GET", "/nowhere"),
            ("GET", "/health/live"),
            ("GET", "/"),
        ):
            doing = f"{method} {path}"
            headers = client.http.request(method, path, headers={"X-Request-ID": "mine-1"}).headers
            name = headers.get("x-request-id")
            equal(name, "mine-1", f"X-Request-ID of {doing} that was sent one", cause)
            sniff = headers.get("x-content-type-options")
            equal(sniff, "nosniff", f"X-Content-Type-Options of {doing}", cause)
            other = client.http.request(method, path, headers={"X-Request-ID": "not an id"})
            name = other.headers.get("x-request-id", "")
            assert name not in ("", "not an id"), (
                f"{doing} with an X-Request-ID that is none has the id {name!r}; it gets one of "
                "the server's."
            )

    def test_metrics_count_requests_forecasts_and_stages(self, client: Client) -> None:
        def read() -> dict[str, float]:
            lines = client.http.get("/metrics").text.splitlines()
            return {
                line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in lines
                if line[:1] != "#"
            }

        before = read()
        client.post_rows(client.golden_rows())
        client.post_rows([make_row(temp="hot")])
        client.http.post("/predict/feast", json={"entity": ENTITY})
        after = read()
        cause = "dashboards and alerts are built on these names"
        for name, more in (
            (
                'framework_requests_total{arm="production",pair="3",route="/predict",status="200"}',
                1,
            ),
            ('framework_requests_total{arm="",pair="",route="/predict",status="422"}', 1),
            ('framework_forecasts_total{arm="production",pair="3",status="ok"}', 5),
            ('framework_stage_seconds_count{arm="production",stage="validate"}', 1),
            ('framework_stage_seconds_count{arm="production",stage="retrieve"}', 1),
            ('framework_stage_seconds_count{arm="production",stage="preprocess"}', 2),
            ('framework_stage_seconds_count{arm="production",stage="predict"}', 2),
            ('framework_request_windows_count{arm="production"}', 2),
            ('framework_request_windows_sum{arm="production"}', 5),
        ):
            count = after.get(name, 0) - before.get(name, 0)
            doing = f"{name} after a batch of four, one wrong row and one lookup"
            equal(count, more, doing, cause)
        names = [name for name in after if name.startswith("framework_pair_info")]
        assert any('version="3"' in name for name in names), (
            f"framework_pair_info does not say that version 3 answers, but {names}."
        )
        assert "framework_requests_in_flight" in after, "framework_requests_in_flight is missing."

    def test_many_clients_at_once_get_each_their_own_answer(self, client: Client) -> None:
        rows, wrong = client.golden_rows(), list[object]()

        def ask(which: int) -> None:
            expected = client.golden.values[which : which + 1]
            with self.another(client) as http:
                for _ in range(20):
                    answer = http.post("/predict", json={"rows": [rows[which]]})
                    if answer.status_code != 200:
                        wrong.append(answer.status_code)
                    elif not np.array_equal(client.values(answer), expected):
                        wrong.append(which)

        threads = [threading.Thread(target=ask, args=(i % len(rows),)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, (
            f"{len(wrong)} of 160 answers to eight clients at once are another client's, or mixed: "
            "something of a request is kept where the next one finds it."
        )

    def test_too_many_requests_at_once_are_503_with_retry_after(self, tmp_path: Path) -> None:
        with (
            server_process(self.backend, {**self.options, "max_in_flight": 1}, tmp_path) as (
                _,
                url,
            ),
            slow_request(url) as slow,
        ):
            answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
            actual = (answer.status_code, answer.headers.get("retry-after"))
            doing = "a second request where max_in_flight is 1"
            equal(actual, (503, "1"), doing, "what cannot be done now is refused at once")
            status = httpx.get(f"{url}/health/live", timeout=30).status_code
            equal(status, 200, "/health/live of a busy server", "it is not counted")
        equal(slow[0].status_code, 200, "the request that came first", "it was accepted")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_lets_requests_in_flight_finish_and_exits_with_0(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        with server_process(self.backend, self.options, tmp_path) as (process, url):
            with slow_request(url) as slow:
                process.send_signal(number)
            doing, cause = f"a server after {number.name}", "it drains, then ends"
            equal(process.wait(20), 0, f"the exit code of {doing}", cause)
            equal(slow[0].status_code, 200, f"a request in flight on {doing}", cause)
            count = len(slow[0].json()["forecasts"])
            equal(count, 300, f"a request of 300 rows in flight on {doing}", cause)
            assert self.is_gone(url), f"{doing} still answers after its process has ended."

    def is_gone(self, url: str) -> bool:
        """Say whether a server has ended.

        Args:
            url: The base URL that it had.

        Returns:
            True when nothing answers there any more.
        """
        try:
            httpx.get(f"{url}/health/live", timeout=5)
        except httpx.ConnectError:
            return True
        return False

    def another(self, client: Client) -> AbstractContextManager[httpx.Client]:
        """Open a connection of its own to the server of a client.

        Args:
            client: The client.

        Returns:
            The connection.
        """
        return httpx.Client(base_url=client.http.base_url, timeout=30)
