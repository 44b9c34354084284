"""What is the process' own: workers that count together, TLS, logs, spans, and who may reach the
address.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import (
    make_deployment,
    make_row,
    server_process,
    slow_request,
)


def ask(url: str, **more: Any) -> httpx.Response:
    """One question on a connection of its own, so that any worker may get it."""
    return httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30, **more)


def counted(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("framework_requests_total") and 'route="/predict"' in line
    )


def workers_of(supervisor: int) -> list[psutil.Process]:
    """The copies of the process that the supervisor started for them."""
    process = psutil.Process(supervisor)
    direct = {child.pid for child in process.children()}
    return [child for child in process.children(recursive=True) if child.pid not in direct]


@pytest.mark.stress
def test_workers_count_together_follow_each_and_come_back_when_killed(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    make_deployment(tmp_path)
    registry.add(4)
    with server_process(
        "fastapi", {"port": 0, "workers": 2, "reload": {"seconds": 0.1}}, tmp_path
    ) as (process, url):
        workers = workers_of(process.pid)
        assert len(workers) == 2
        with ExitStack() as opened:
            port = int(url.rpartition(":")[2])
            for _ in range(32):
                opened.enter_context(socket.create_connection(("127.0.0.1", port)))

            def spread() -> list[int]:
                return [len(worker.net_connections("tcp")) for worker in workers]

            wait_for(lambda: sum(spread()) >= 32 + 2)  # each has the listener, too
            assert min(spread()) >= 8
        for _ in range(30):
            assert ask(url).status_code == 200
        assert counted(url) == 30
        registry.point("production", 4)
        wait_for(lambda: {ask(url).json()["pair"]["version"] for _ in range(20)} == {4})
        workers[0].kill()

        def answers() -> bool:
            try:
                return ask(url).status_code == 200
            except httpx.TransportError:  # the connection had been given to the one that died
                return False

        wait_for(
            lambda: (
                all(answers() for _ in range(10)) and len(workers_of(process.pid)) == len(workers)
            )
        )
        with slow_request(url) as slow:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert slow[0].status_code == 200
    assert not workers[1].is_running()


@pytest.mark.stress
def test_a_reload_reaches_every_worker_and_says_what_each_found(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    make_deployment(tmp_path)
    registry.add(4)
    registry.add(5)
    registry.change_byte(5)
    with server_process(
        "fastapi", {"port": 0, "workers": 2, "reload": {"seconds": 3600}}, tmp_path
    ) as (_, url):

        def reload() -> dict[str, Any]:
            return httpx.post(f"{url}/admin/reload", timeout=60).json()

        for number, status, serves in ((3, "current", 3), (4, "swapped", 4), (5, "refused", 4)):
            registry.point("production", number)
            found = reload()
            assert len(found["workers"]) == 2
            for one in (found, *found["workers"]):
                (alias,) = one["aliases"]
                assert (alias["alias"], alias["status"], alias["version"]) == (
                    "production",
                    status,
                    serves,
                )
            assert {ask(url).json()["pair"]["version"] for _ in range(20)} == {serves}
        registry.point("production", 4)
        pid = found["workers"][0]["pid"]
        psutil.Process(pid).kill()
        wait_for(lambda: len({one["pid"] for one in reload()["workers"]} - {pid}) == 2)


@pytest.mark.stress
def test_workers_are_replaced_when_what_they_are_copies_of_is_killed(tmp_path: Path) -> None:
    make_deployment(tmp_path)
    with server_process("fastapi", {"port": 0, "workers": 2}, tmp_path) as (process, url):
        workers = {worker.pid for worker in workers_of(process.pid)}
        psutil.Process(min(workers)).parent().kill()
        wait_for(lambda: len({w.pid for w in workers_of(process.pid)} - workers) == 2)

        def answers() -> bool:
            try:
                return ask(url).status_code == 200
            except httpx.TransportError:  # the connection had been given to one that was stopped
                return False

        wait_for(answers)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.stress
def test_workers_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    make_deployment(tmp_path)
    with server_process("fastapi", {"port": 0, "workers": 2}, tmp_path) as (process, _):
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 2
        process.kill()
        _, left = psutil.wait_procs(below, timeout=30)
    assert left == []


def test_a_pair_that_is_refused_starts_no_worker(tmp_path: Path) -> None:
    make_deployment(tmp_path)
    FolderRegistry(tmp_path).change_byte(3)
    command = [
        sys.executable,
        "-m",
        "framework.testing.servers.fake_server",
        "fastapi",
        json.dumps({"port": 0, "workers": 2}),
        str(tmp_path),
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "its files were changed" in done.stderr.splitlines()[-1]


def test_https(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "chain.pem").write_bytes(
        b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    )
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    options = {
        "port": 0,
        "ssl_certfile": str(tmp_path / "chain.pem"),
        "ssl_keyfile": str(tmp_path / "key.pem"),
    }
    with server_process("fastapi", options, tmp_path / "pair") as (_, url):
        assert url.startswith("https://")
        assert httpx.get(f"{url}/health/ready", verify=trusted, timeout=30).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{url}/health/ready", timeout=30)


@pytest.mark.stress
def test_an_address_that_others_reach_needs_keys(tmp_path: Path) -> None:
    options = {"port": 0, "host": "0.0.0.0"}
    command = [
        sys.executable,
        "-m",
        "framework.testing.servers.fake_server",
        "fastapi",
        json.dumps(options),
        str(tmp_path),
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (
        "serving.host=0.0.0.0 is reached by others and there are no keys"
        in done.stderr.splitlines()[-1]
    )
    with server_process("fastapi", {**options, "access": {"open": True}}, tmp_path) as (_, url):
        assert (
            httpx.get(url.replace("0.0.0.0", "127.0.0.1") + "/health/ready", timeout=30).status_code
            == 200
        )


def test_lines_of_the_log_are_json_with_the_id_of_the_request_and_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as log:
        options = {"port": 0, "log": {"access": 100}}
        with server_process("fastapi", options, tmp_path / "pair", stderr=log) as (_, url):
            ask(url, headers={"X-Request-ID": "request-7", "Authorization": "Bearer secret"})
            body = {"rows": [make_row(season=fakes.BROKEN, airport="PRIVATE")]}
            httpx.post(
                f"{url}/predict?token=secret",
                json=body,
                headers={"X-Request-ID": "request-8"},
                timeout=30,
            )
            wait_for(lambda: file.read_text().count('"framework.access"') == 2)
    text = file.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    access = [line for line in lines if line["logger"] == "framework.access"]
    assert [(line["request_id"], line["message"], line["status"]) for line in access] == [
        ("request-7", "POST /predict", 200),
        ("request-8", "POST /predict", 200),
    ]
    assert (access[0]["arm"], access[0]["pair"]) == ("production", 3)
    assert access[0]["milliseconds"] > 0
    assert [
        line["request_id"]
        for line in lines
        if line["logger"] == "framework.serving.pipeline.pipeline"
    ] == ["request-8"]
    assert "secret" not in text
    assert "PRIVATE" not in text


class _Collector(BaseHTTPRequestHandler):
    """Keeps the spans that it is sent."""

    spans: list[Any] = []  # noqa: RUF012  of the one server of the test

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(
            self.rfile.read(int(self.headers["content-length"]))
        )
        self.spans.extend(
            s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans
        )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on the screen."""


@pytest.mark.stress
def test_a_request_and_its_stages_are_spans_of_the_clients_trace(tmp_path: Path) -> None:
    collector = HTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    trace, parent = os.urandom(16), os.urandom(8)
    with server_process("fastapi", {"port": 0, "tracing": {"endpoint": endpoint}}, tmp_path) as (
        process,
        url,
    ):
        answer = ask(
            url,
            headers={"traceparent": f"00-{trace.hex()}-{parent.hex()}-01", "X-Request-ID": "seen"},
        )
        assert answer.status_code == 200
        large = {"rows": [make_row()] * 1000}
        assert httpx.post(f"{url}/predict", json=large, timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    collector.shutdown()
    collector.server_close()
    ours = [span for span in _Collector.spans if span.trace_id == trace]
    (request,) = [span for span in ours if span.name == "POST /predict"]
    assert request.parent_span_id == parent
    attributes = {a.key: a.value for a in request.attributes}
    assert attributes["framework.request_id"].string_value == "seen"
    assert attributes["framework.arm"].string_value == "production"
    assert attributes["http.response.status_code"].int_value == 200
    stages = [span for span in ours if span.parent_span_id == request.span_id]
    assert [span.name for span in stages] == ["validate", "preprocess", "predict"]
    assert all(a.end_time_unix_nano <= b.start_time_unix_nano + 1000 for a, b in pairwise(stages))
    assert all(
        request.start_time_unix_nano
        <= s.start_time_unix_nano
        <= s.end_time_unix_nano
        <= request.end_time_unix_nano
        for s in stages
    )
    others = [span for span in _Collector.spans if span.trace_id != trace]  # worked on in threads
    (root,) = [span for span in others if span.name == "POST /predict"]
    assert {span.parent_span_id for span in others if span is not root} == {root.span_id}


def test_a_head_that_does_not_end_is_given_up_and_a_long_body_is_no_head(tmp_path: Path) -> None:
    with server_process("fastapi", {"port": 0}, tmp_path) as (_, url):
        address = (httpx.URL(url).host, httpx.URL(url).port)
        for beginning in (b"GET /", b"GET /pair HTTP/1.1\r\nX: "):
            with socket.create_connection(address) as raw:
                raw.settimeout(30)
                raw.sendall(beginning + b"a" * 50_000)
                raw.sendall(b"a" * 50_000)
                assert raw.recv(1000).startswith(b"HTTP/1.1 400")
        body = json.dumps({"rows": [make_row()]}).encode() + b" " * 1_000_000
        for _ in range(2):
            assert (
                httpx.post(
                    f"{url}/predict",
                    content=body,
                    headers={"content-type": "application/json"},
                    timeout=30,
                ).status_code
                == 200
            )
            assert (
                httpx.get(f"{url}/pair", headers={"X": "a" * 20_000}, timeout=30).status_code == 200
            )


def test_a_port_taken_by_workers_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = {"port": taken.getsockname()[1], "workers": 2}
        command = [
            sys.executable,
            "-m",
            "framework.testing.servers.fake_server",
            "fastapi",
            json.dumps(options),
            str(tmp_path),
            "none",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "is in use; set serving.port=" in done.stderr.splitlines()[-1]
