"""The written rules in the real Prometheus and Alertmanager: a server that degrades becomes a
notification over HTTP. Needs Debian's ``prometheus`` and ``prometheus-alertmanager``.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from framework.serving.dashboards.rules import Objectives, rules_of
from framework.testing.servers.fake_server import make_row, server_process

pytestmark = pytest.mark.stress

OBJECTIVES = Objectives(99.9, 99.0, 0.5, "/predict.*")

#: A server whose errors rise to 2 % after an hour: both fast windows burn, 20 times too fast.
UNIT_TEST = {
    "rule_files": ["rules.yml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {
                    "series": 'framework_requests_total{job="f", status="200"}',
                    "values": "0+1000x60 60000+980x240",
                },
                {
                    "series": 'framework_requests_total{job="f", status="503"}',
                    "values": "0+0x60 0+20x240",
                },
                {
                    "series": 'framework_degraded{job="f", arm="production"}',
                    "values": "0x120 1x180",
                },
            ],
            "alert_rule_test": [
                {"eval_time": "59m", "alertname": "FrameworkErrorBudgetBurns", "exp_alerts": []},
                {"eval_time": "125m", "alertname": "FrameworkDegraded", "exp_alerts": []},
                {
                    "eval_time": "132m",
                    "alertname": "FrameworkDegraded",
                    "exp_alerts": [
                        {
                            "exp_labels": {"job": "f", "arm": "production", "severity": "page"},
                            "exp_annotations": {
                                "summary": "production does not serve what its alias means, or "
                                "the feature store is away"
                            },
                        }
                    ],
                },
            ],
            "promql_expr_test": [
                {
                    "expr": 'count(ALERTS{alertname="FrameworkErrorBudgetBurns", '
                    'severity="page", window="1h", alertstate="firing"})',
                    "eval_time": "150m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                },
                {
                    "expr": "framework:request_errors:ratio_rate1h > 0.0199 < 0.0201",
                    "eval_time": "150m",
                    "exp_samples": [
                        {"labels": 'framework:request_errors:ratio_rate1h{job="f"}', "value": 0.02}
                    ],
                },
                {
                    "expr": "framework:request_errors:ratio_rate1h",
                    "eval_time": "59m",
                    "exp_samples": [
                        {"labels": 'framework:request_errors:ratio_rate1h{job="f"}', "value": 0}
                    ],
                },
            ],
        }
    ],
}


def test_promtool_reads_the_rules_and_their_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules_of(OBJECTIVES)))
    (tmp_path / "test.yml").write_text(yaml.safe_dump(UNIT_TEST))
    for command in (("check", "rules", "rules.yml"), ("test", "rules", "test.yml")):
        ended = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


class Webhook(HTTPServer):
    """Keeps what Alertmanager sends."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.notifications.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_a_server_that_goes_away_becomes_a_notification(tmp_path: Path) -> None:
    """Waiting times of minutes are seconds here; the expressions are as they are written."""
    rules = rules_of(OBJECTIVES)
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    webhook = Webhook()
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    prometheus_port, alertmanager_port = free_port(), free_port()
    with server_process("fastapi", {}, tmp_path / "pairs") as (server, url):
        target = url.removeprefix("http://")
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
        (tmp_path / "alertmanager.yml").write_text(
            yaml.safe_dump(
                {
                    "route": {"receiver": "hook", "group_wait": "1s", "group_by": ["alertname"]},
                    "receivers": [
                        {
                            "name": "hook",
                            "webhook_configs": [
                                {"url": f"http://127.0.0.1:{webhook.server_port}/"}
                            ],
                        }
                    ],
                }
            )
        )
        (tmp_path / "prometheus.yml").write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "rule_files": ["rules.yml"],
                    "alerting": {
                        "alertmanagers": [
                            {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}
                        ]
                    },
                    "scrape_configs": [
                        {"job_name": "framework", "static_configs": [{"targets": [target]}]}
                    ],
                }
            )
        )
        prometheus, alertmanager = (
            shutil.which("prometheus"),
            shutil.which("prometheus-alertmanager"),
        )
        assert prometheus, "install Debian's prometheus"
        assert alertmanager, "install Debian's prometheus-alertmanager"
        with (
            running(
                alertmanager,
                f"--config.file={tmp_path / 'alertmanager.yml'}",
                f"--storage.path={tmp_path / 'alerts'}",
                f"--web.listen-address=127.0.0.1:{alertmanager_port}",
                "--cluster.listen-address=",
            ),
            running(
                prometheus,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'series'}",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
            ),
        ):
            api = f"http://127.0.0.1:{prometheus_port}/api/v1/query"

            def asked(query: str) -> list[dict[str, Any]]:
                try:
                    answer = httpx.get(api, params={"query": query}, timeout=5)
                except httpx.TransportError:
                    return []
                return answer.json()["data"]["result"] if answer.status_code == 200 else []

            for _ in range(5):
                assert httpx.post(f"{url}/predict", json={"rows": [make_row()]}).status_code == 200
            wait(lambda: asked("framework_pair_info == 1") and asked("up == 1"))
            wait(lambda: asked("framework_request_seconds_count > 4"))
            assert not webhook.notifications
            server.terminate()
            server.wait(30)
            wait(lambda: webhook.notifications)
    first = webhook.notifications[0]
    assert first["status"] == "firing"
    alert = first["alerts"][0]
    assert alert["labels"]["alertname"] == "FrameworkServerDown"
    assert alert["labels"]["severity"] == "page"
    assert re.fullmatch(
        r"127\.0\.0\.1:\d+ does not answer Prometheus", alert["annotations"]["summary"]
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait(condition: Any, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.2)
