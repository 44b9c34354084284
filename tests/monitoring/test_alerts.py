"""Alerts: states over time, one notification of each change to each sink."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.errors import ConfigError, DataError, FrameworkError
from framework.interfaces.alert_sink import Alert, AlertSink
from framework.monitoring.alert_sinks import LogSink
from framework.monitoring.alerts import (
    AlertRule,
    read_alerts,
    update,
    values_of,
    windows_of,
    write_alerts,
)
from framework.options import validate
from framework.plugins.discovery import load_plugins
from framework.runs.options import AlertOptions
from framework.runs.steps.alerts import make_sinks, tell

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SURE = (("y", 3), ("z", 1))


def make_body(mae: float = 1.0, alarms: int = 0, missing: int = 0) -> dict[str, Any]:
    cell = {"arm": "production", "target": "y", "version": 2}
    drift = [{**cell, "verdict": "alarm" if i < alarms else "quiet"} for i in range(5)]
    return {
        "serving": {"production": {"version": 2}},
        "live": {"production": {"y": {"MAE": mae, "steps": 9}, "z": {"steps": 0}}},
        "drift": drift,
        "drifted_series": [{**cell, "entity": {"key": "a"}}],
        "ledger": {"missing": missing},
        "anomalies": {
            "production": {target: {"sure": n, "windows": {"P7DT0S": n - 1}} for target, n in SURE}
        },
        "skew": {"differences": [{}, {}], "served": {"different": 5}},
        "findings": [{}],
    }


class Kept(AlertSink):
    """Keeps the states that it is told, or refuses."""

    def __init__(self) -> None:
        super().__init__(None)
        self.states: list[str] = []
        self.works = True

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        if not self.works:
            raise FrameworkError("it is gone.")
        self.states += [alert.state for alert in alerts]


def make_run(folder: Path, **alerts: Any) -> Any:
    options = validate(AlertOptions, alerts, "monitor.alerts")
    config = SimpleNamespace(name="shops", paths=SimpleNamespace(state=folder))
    options = SimpleNamespace(alerts=options)
    return SimpleNamespace(config=config, options=options, plugins=load_plugins())


def rule(signal: str, **given: Any) -> AlertRule:
    return validate(AlertRule, {"signal": signal, "above": 0, **given}, "rules.one")


def test_an_alert_waits_fires_fires_on_and_is_resolved() -> None:
    high = {"signal": "MAE", "above": 2.0, "for": "2h", "keep_firing_for": "3h"}
    rules = {"high": validate(AlertRule, high, "rules.high")}
    states = []
    known: dict[str, Any] = {}
    for hour, mae in enumerate((9.0, 9.0, 9.0, 1.0, 1.0, 1.0)):
        known = update(rules, make_body(mae), "shops", known, NOW + timedelta(hours=hour))
        states.append([alert.state for alert in known.values()])
    pending, firing, resolved = ["pending"], ["firing"], ["resolved"]
    assert states == [pending, pending, firing, firing, firing, resolved]
    (alert,) = known.values()
    assert alert.labels == {
        "alertname": "high", "name": "shops", "severity": "warning", "arm": "production",
        "target": "y",
    }  # fmt: skip
    assert update(rules, make_body(), "shops", known, NOW + timedelta(hours=9)) == {}
    told = {alert.fingerprint: replace(alert, told={"ops": "firing"})}
    assert update(rules, make_body(), "shops", told, NOW + timedelta(hours=9)) == told
    again = update(rules, make_body(9.0), "shops", known, NOW + timedelta(hours=9))
    assert [one.state for one in again.values()] == ["pending"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"signal": "MEA", "above": 1}, "signal"),
        ({"signal": "MAE"}, "give a limit"),
        ({"signal": "MAE", "above": 1, "below": 0}, "one of them"),
        ({"signal": "MAE", "above": 1, "fore": "2h"}, "Did you mean 'for'"),
        ({"signal": "MAE", "above": float("nan")}, "finite"),
        ({"signal": "missing", "above": 0, "window": "7d"}, "missing has no window"),
        ({"signal": "MAE", "above": 0, "window": "0d"}, "window"),
    ],
)
def test_a_rule_that_could_never_fire_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        validate(AlertRule, given, "monitor.alerts.rules.high")


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (
            {"url": "http://a"},
            r"sinks\.ops\.name: say which alert sink .* log, slack, smtp, webhook",
        ),
        ({"name": "slak", "url": "http://a"}, "Did you mean 'slack'"),
        ({"name": "slack"}, r"sinks\.ops\.url"),
        ({"name": "slack", "url": "http://a", "uri": 1}, r"sinks\.ops\.uri.*Did you mean 'url'"),
    ],
)
def test_a_sink_that_is_none_is_refused(tmp_path: Path, node: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_sinks(make_run(tmp_path, sinks={"ops": node}))


def test_without_a_word_alerts_go_to_the_log(tmp_path: Path) -> None:
    assert isinstance(make_sinks(make_run(tmp_path))["log"], LogSink)


def test_an_alert_that_never_fired_goes_without_a_word() -> None:
    rules = {"high": validate(AlertRule, {"signal": "MAE", "above": 2.0, "for": "2h"}, "r")}
    known = update(rules, make_body(9.0), "shops", {}, NOW)
    assert update(rules, make_body(1.0), "shops", known, NOW + timedelta(hours=1)) == {}


def test_values_of_each_signal() -> None:
    body = make_body(mae=3.0, alarms=2, missing=7)
    cell = {"arm": "production", "target": "y"}
    assert values_of(body, rule("missing")) == [({}, 7.0)]
    assert values_of(body, rule("MAE")) == [(cell, 3.0)]
    assert values_of(body, rule("anomalies"))[0] == (cell, 3.0)
    assert values_of(body, rule("findings")) == [({}, 1.0)]
    assert values_of(body, rule("skew")) == [({}, 7.0)]
    assert values_of({**body, "skew": None}, rule("skew")) == []
    assert (cell, 2.0) in values_of(body, rule("drift"))
    assert (cell, 1.0) in values_of(body, rule("drifted_series"))


def test_a_hundred_runs_make_one_notification(tmp_path: Path) -> None:
    rules = {"drift": {"signal": "drift", "above": 0, "severity": "page"}}
    sinks, warnings = {"one": Kept(), "other": Kept()}, list[str]()
    run = make_run(tmp_path, rules=rules)
    for _ in range(100):  # each reads the states from the file, as a run of its own does
        (alert,) = tell(run, make_body(alarms=1), sinks, warnings)
        assert (alert["name"], alert["state"]) == ("drift", "firing")
    assert [sink.states for sink in sinks.values()] == [["firing"]] * 2
    (alert,) = tell(run, make_body(), sinks, warnings)
    assert alert["state"] == "resolved"
    assert tell(run, make_body(), sinks, warnings) == []
    assert [sink.states for sink in sinks.values()] == [["firing", "resolved"]] * 2
    assert warnings == []


def test_a_rule_with_a_window_sees_what_is_newer_alone() -> None:
    body = make_body(mae=9.0, alarms=2)
    live = {"production": {"y": {"MAE": 1.0, "steps": 3}, "z": {"steps": 0}}}
    body |= {"windows": {"P7DT0S": live}, "window": {"last": "2024-05-20T00:00:00Z"}}
    body["drift"][0]["since"] = "2024-05-19T00:00:00.000000"
    body["drift"][1]["since"] = "2024-05-01T00:00:00.000000"
    recent = rule("MAE", window="7d")
    assert [value for _, value in values_of(body, recent)] == [1.0]
    assert [value for _, value in values_of(body, rule("anomalies", window="7d"))] == [2.0, 0.0]
    assert values_of(body, rule("drift", window="7d"))[0][1] == 1.0
    assert values_of(body, rule("drift"))[0][1] == 2.0
    assert windows_of({"a": recent, "b": recent, "c": rule("drift", window="1d")}) == (
        timedelta(days=7),
    )
    (alert,) = update({"recent": recent}, body, "shops", {}, NOW).values()
    assert alert.annotations == {"summary": "shops: MAE over P7DT0S is 1, above 0"}


def test_drift_of_a_pair_that_was_replaced_is_over() -> None:
    body = make_body(alarms=2)
    old = {"arm": "production", "target": "y", "version": 1}
    body["drift"] += [{**old, "verdict": "alarm"}]
    body["drifted_series"] += [{**old, "entity": {"key": "b"}}]
    assert [value for _, value in values_of(body, rule("drift"))] == [2.0, 0.0]
    assert [value for _, value in values_of(body, rule("drifted_series"))] == [1.0, 0.0]
    body["serving"]["production"]["version"] = 1  # rolled back
    assert [value for _, value in values_of(body, rule("drift"))] == [1.0, 0.0]


def test_a_rule_whose_figure_no_forecast_has_is_said(tmp_path: Path) -> None:
    rules = {
        name: {"signal": signal, "above": 9} for name, signal in (("far", "WQL"), ("off", "MAE"))
    }
    warnings: list[str] = []
    assert tell(make_run(tmp_path, rules=rules), make_body(), {}, warnings) == []
    (warning,) = warnings
    assert warning.startswith("monitor.alerts.rules.far: no forecast has the figure WQL")


def test_what_a_sink_did_not_take_is_sent_to_it_again_and_to_no_other(tmp_path: Path) -> None:
    rules, warnings = {"lost": {"signal": "missing", "above": 0}}, list[str]()
    run, sinks = make_run(tmp_path, rules=rules), {"ops": Kept(), "broken": Kept()}
    sinks["broken"].works = False
    tell(run, make_body(missing=1), sinks, warnings)
    assert warnings == ["monitor.alerts.sinks.broken: it is gone. The next run sends them again."]
    sinks["broken"].works = True
    for _ in range(2):
        tell(run, make_body(missing=1), sinks, warnings)
    assert [sink.states for sink in sinks.values()] == [["firing"]] * 2


def test_who_was_never_told_that_it_fires_is_not_told_that_it_is_over(tmp_path: Path) -> None:
    rules, warnings = {"lost": {"signal": "missing", "above": 0}}, list[str]()
    run, sinks = make_run(tmp_path, rules=rules), {"ops": Kept(), "broken": Kept()}
    sinks["broken"].works = False
    tell(run, make_body(missing=1), sinks, warnings)
    sinks["broken"].works = True
    tell(run, make_body(), sinks, warnings)
    assert [sink.states for sink in sinks.values()] == [["firing", "resolved"], []]


def test_a_file_of_alerts_that_is_none_is_refused_and_an_earlier_one_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "alerts.json"
    write_alerts(path, {})
    assert read_alerts(path) == {}
    path.write_text("[1]")
    with pytest.raises(DataError, match=r"alerts\.json: no file of alerts"):
        read_alerts(path)
    alert = Alert("a", {"severity": "page"}, {}, "firing", "2024-05-01", "2024-05-01")
    path.write_text(json.dumps([{**asdict(alert), "told": "firing"}]))
    assert read_alerts(path) == {alert.fingerprint: alert}
