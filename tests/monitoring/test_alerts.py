"""Alerts: states over time, one notification of each change, sinks over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from framework.errors import ConfigError, DataError, FrameworkError
from framework.monitoring.alert_sinks import post
from framework.monitoring.alerts import AlertRule, read_alerts, update, values_of, write_alerts
from framework.options import validate
from framework.runs.monitor import _alerts
from framework.runs.options import AlertOptions

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def make_body(mae: float = 1.0, alarms: int = 0, missing: int = 0) -> dict[str, Any]:
    cell = {"arm": "production", "target": "y", "version": 2}
    drift = [{**cell, "verdict": "alarm" if i < alarms else "quiet"} for i in range(5)]
    return {
        "serving": {"production": {"version": 2}},
        "live": {"production": {"y": {"MAE": mae, "steps": 9}, "z": {"steps": 0}}},
        "drift": drift,
        "drifted_series": [{**cell, "entity": {"key": "a"}}],
        "ledger": {"missing": missing},
    }


@pytest.fixture
def receiver() -> Iterator[SimpleNamespace]:
    """A server that keeps what is posted; ``status`` is what it answers, None for no HTTP."""
    kept = SimpleNamespace(bodies=[], status=200, url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            kept.bodies.append((self.path, json.loads(content)))
            if kept.status is None:
                self.wfile.write(b"no HTTP\r\n\r\n")
                return
            self.send_response(kept.status)
            self.send_header("Location", "/")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def make_run(folder: Path, **alerts: Any) -> Any:
    options = validate(AlertOptions, alerts, "monitor.alerts")
    config = SimpleNamespace(name="shops", paths=SimpleNamespace(state=folder))
    said: list[str] = []
    options = SimpleNamespace(alerts=options)
    return SimpleNamespace(config=config, options=options, say=said.append, said=said)


def test_an_alert_waits_fires_fires_on_and_is_resolved() -> None:
    rule = {"signal": "MAE", "above": 2.0, "for": "2h", "keep_firing_for": "3h"}
    rules = {"high": validate(AlertRule, rule, "rules.high")}
    states = []
    known: dict[str, Any] = {}
    for hour, mae in enumerate((9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0)):
        known = update(rules, make_body(mae), "shops", known, NOW + timedelta(hours=hour))
        states.append([alert.state for alert in known.values()])
    pending, firing, resolved = ["pending"], ["firing"], ["resolved"]
    assert states == [pending, pending, firing, firing, firing, resolved, resolved]
    (alert,) = known.values()
    assert alert.labels == {
        "alertname": "high", "name": "shops", "severity": "warning", "arm": "production",
        "target": "y",
    }  # fmt: skip
    told = {alert.fingerprint: replace(alert, told="resolved")}
    assert update(rules, make_body(), "shops", told, NOW + timedelta(hours=9)) == {}
    again = update(rules, make_body(9.0), "shops", known, NOW + timedelta(hours=9))
    assert [one.state for one in again.values()] == ["pending"]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"signal": "MEA", "above": 1}, "signal"),
        ({"signal": "MAE"}, "give a limit"),
        ({"signal": "MAE", "above": 1, "below": 0}, "one of them"),
        ({"signal": "MAE", "above": 1, "fore": "2h"}, "Did you mean 'for'"),
        ({"signal": "MAE", "above": float("nan")}, "finite"),
    ],
)
def test_a_rule_that_could_never_fire_is_refused(rule: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        validate(AlertRule, rule, "monitor.alerts.rules.high")


@pytest.mark.parametrize("sink", ["webhook", "slack"])
def test_a_sink_that_could_never_take_an_alert_is_refused(sink: str) -> None:
    with pytest.raises(ConfigError, match=rf"monitor\.alerts\.{sink}.*http://") as refused:
        validate(AlertOptions, {sink: "hooks.example.org/secret-path"}, "monitor.alerts")
    assert "secret-path" not in str(refused.value)


def test_an_alert_that_never_fired_goes_without_a_word() -> None:
    rules = {"high": validate(AlertRule, {"signal": "MAE", "above": 2.0, "for": "2h"}, "r")}
    known = update(rules, make_body(9.0), "shops", {}, NOW)
    assert update(rules, make_body(1.0), "shops", known, NOW + timedelta(hours=1)) == {}


def test_values_of_each_signal() -> None:
    body = make_body(mae=3.0, alarms=2, missing=7)
    cell = {"arm": "production", "target": "y"}
    assert values_of(body, "missing") == [({}, 7.0)]
    assert values_of(body, "MAE") == [(cell, 3.0)]
    assert (cell, 2.0) in values_of(body, "drift")
    assert (cell, 1.0) in values_of(body, "drifted_series")


def test_a_hundred_runs_make_one_notification(tmp_path: Path, receiver: Any) -> None:
    rules = {"drift": {"signal": "drift", "above": 0, "severity": "page"}}
    urls = {"webhook": f"{receiver.url}/hook", "slack": f"{receiver.url}/slack"}
    warnings: list[str] = []
    for _ in range(100):  # each reads the states from the file, as a run of its own does
        (alert,) = _alerts(make_run(tmp_path, rules=rules, **urls), make_body(alarms=1), warnings)
        assert (alert["name"], alert["state"]) == ("drift", "firing")
    assert [path for path, _ in receiver.bodies] == ["/hook", "/slack"]
    hook = receiver.bodies[0][1]
    assert (hook["version"], hook["status"]) == ("4", "firing")
    (sent,) = hook["alerts"]
    assert sent["labels"]["severity"] == "page"
    assert sent["annotations"] == {"summary": "shops: drift is 1, above 0"}
    assert sent["endsAt"] == "0001-01-01T00:00:00Z"
    assert receiver.bodies[1][1] == {"text": "[FIRING] drift (page): shops: drift is 1, above 0"}
    _alerts(make_run(tmp_path, rules=rules, **urls), make_body(), warnings)
    assert receiver.bodies[2][1]["status"] == "resolved"
    assert len(receiver.bodies) == 4
    assert _alerts(make_run(tmp_path, rules=rules, **urls), make_body(), warnings) == []
    assert warnings == []


def test_drift_of_a_pair_that_was_replaced_is_over() -> None:
    body = make_body(alarms=2)
    old = {"arm": "production", "target": "y", "version": 1}
    body["drift"] += [{**old, "verdict": "alarm"}]
    body["drifted_series"] += [{**old, "entity": {"key": "b"}}]
    assert [value for _, value in values_of(body, "drift")] == [2.0, 0.0]
    assert [value for _, value in values_of(body, "drifted_series")] == [1.0, 0.0]
    body["serving"]["production"]["version"] = 1  # rolled back
    assert [value for _, value in values_of(body, "drift")] == [1.0, 0.0]


def test_a_rule_whose_figure_no_forecast_has_is_said(tmp_path: Path) -> None:
    rules = {
        name: {"signal": signal, "above": 9} for name, signal in (("far", "WQL"), ("off", "MAE"))
    }
    warnings: list[str] = []
    assert _alerts(make_run(tmp_path, rules=rules), make_body(), warnings) == []
    (warning,) = warnings
    assert warning.startswith("monitor.alerts.rules.far: no forecast has the figure WQL")


@pytest.mark.parametrize(("status", "problem"), [(302, "HTTP Error 302"), (None, "no HTTP")])
def test_a_sink_that_redirects_or_speaks_no_http_did_not_take_it(
    receiver: Any, status: int | None, problem: str
) -> None:
    receiver.status = status
    with pytest.raises(FrameworkError, match=f"alerts were not taken .*{problem}"):
        post(receiver.url, {})


def test_what_a_sink_did_not_take_is_sent_again(tmp_path: Path, receiver: Any) -> None:
    rules, warnings = {"lost": {"signal": "missing", "above": 0}}, list[str]()
    run = make_run(tmp_path, rules=rules, webhook=f"{receiver.url}/secret-path")
    receiver.status = 500
    _alerts(run, make_body(missing=1), warnings)
    (warning,) = warnings
    assert "HTTP Error 500" in warning
    assert "secret-path" not in warning
    receiver.status = 200
    for _ in range(2):
        _alerts(run, make_body(missing=1), warnings)
    assert len(receiver.bodies) == 2


def test_a_file_of_alerts_that_is_none_and_a_url_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    write_alerts(path, {})
    assert read_alerts(path) == {}
    path.write_text("[1]")
    with pytest.raises(DataError, match=r"alerts\.json: no file of alerts"):
        read_alerts(path)
    with pytest.raises(FrameworkError, match="http or https"):
        post("file:///etc/passwd", {})
