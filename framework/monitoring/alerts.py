"""Alerts: rules over what ``run=monitor`` found, with the states of Prometheus, kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from framework.errors import DataError
from framework.files import atomic_write
from framework.interfaces.alert_sink import Alert
from framework.options import Duration, Options

#: What a rule may look at: counts, and figures of ``live``.
Signal = Literal[
    "drift",
    "drifted_series",
    "missing",
    "anomalies",
    "skew",
    "findings",
    "MAE",
    "RMSE",
    "WAPE",
    "MASE",
    "sMAPE",
    "bias",
    "pinball",
    "WQL",
    "coverage",
    "coverage_80",
    "interval_score",
]


#: Signals that count all that was read.
_WITHOUT_WINDOW = ("missing", "drifted_series", "skew", "findings")


class AlertRule(Options):
    """The condition of an alert.

    ``signal``: ``drift`` (how many tests alarm), ``drifted_series`` (how many series), ``missing``
    (forecasts that the ledger lacks), ``anomalies`` (how many actuals are sure to be some),
    ``skew`` (differences), ``findings`` (their number), or a figure of ``live`` such as ``MAE`` or
    ``coverage_80``; for each target of the pair that each arm serves, where it has one. It is
    active while the value is ``above`` or ``below`` the limit that is given. ``window``: of a
    figure or ``anomalies``, only the newest actuals of so long count; of ``drift``, only alarms
    that came in it; null for all. ``for``: how long it must be active before it fires;
    ``keep_firing_for``: how long it fires on after it was last active. ``severity``: a label.
    """

    signal: Signal
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    for_: Duration = Field(default=timedelta(0), alias="for")
    keep_firing_for: Duration = Field(default=timedelta(0))
    window: Annotated[Duration, Field(gt=timedelta(0))] | None = None
    severity: str = "warning"

    @model_validator(mode="after")
    def _limited(self) -> AlertRule:
        if (self.above is None) == (self.below is None):
            raise ValueError("give a limit: above or below, one of them")
        if self.window is not None and self.signal in _WITHOUT_WINDOW:
            raise ValueError(f"{self.signal} has no window: all that was read is counted")
        return self

    def is_active(self, value: float) -> bool:
        """Say whether a value is beyond a limit."""
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )


def values_of(body: Mapping[str, Any], rule: AlertRule) -> list[tuple[dict[str, str], float]]:
    """The values of a rule in the result of ``run=monitor``, each with its labels. Of an arm that
    had several pairs the one that it serves counts: drift of another is over.
    """
    signal = rule.signal
    if signal == "missing":
        return [({}, float(body["ledger"]["missing"]))]
    if signal == "findings":
        return [({}, float(len(body["findings"])))]
    if signal == "skew":
        skew = body["skew"]
        return [] if skew is None else [({}, float(_different(skew)))]
    cells = [(arm, target) for arm, live in body["live"].items() for target in live]
    if signal == "anomalies":
        return [
            ({"arm": arm, "target": target}, float(_sure(body["anomalies"][arm][target], rule)))
            for arm, target in cells
        ]
    if signal in ("drift", "drifted_series"):
        return [
            (
                {"arm": arm, "target": target},
                float(
                    sum(
                        (one["arm"], one["target"]) == (arm, target)
                        and one["version"] == body["serving"][arm]["version"]
                        and one.get("verdict", "alarm") == "alarm"
                        and (rule.window is None or _is_recent(one, rule.window, body))
                        for one in body[signal]
                    )
                ),
            )
            for arm, target in cells
        ]
    live = body["live"] if rule.window is None else body["windows"][length_of(rule.window)]
    return [
        ({"arm": arm, "target": target}, float(live[arm][target][signal]))
        for arm, target in cells
        if signal in live[arm][target]
    ]


def _sure(anomalies: Mapping[str, Any], rule: AlertRule) -> int:
    if rule.window is None:
        return int(anomalies["sure"])
    return int(anomalies["windows"][length_of(rule.window)])


def _different(skew: Mapping[str, Any]) -> int:
    served = skew.get("served") or {"different": 0}
    return len(skew["differences"]) + int(served["different"])


def length_of(window: timedelta) -> str:
    """Write a window as ISO 8601 does, such as ``P7DT0S``."""
    return f"P{window.days}DT{window.seconds}S"


def windows_of(rules: Mapping[str, AlertRule]) -> tuple[timedelta, ...]:
    """Give the windows of rules over actuals, each once."""
    return tuple(
        sorted({rule.window for rule in rules.values() if rule.window and rule.signal != "drift"})
    )


def _is_recent(finding: Mapping[str, Any], window: timedelta, body: Mapping[str, Any]) -> bool:
    """Say whether an alarm came within the window that ends with the newest origin."""
    since = datetime.fromisoformat(finding["since"]).replace(tzinfo=UTC)
    return since > datetime.fromisoformat(body["window"]["last"]).astimezone(UTC) - window


def update(
    rules: Mapping[str, AlertRule],
    body: Mapping[str, Any],
    name: str,
    known: Mapping[str, Alert],
    now: datetime,
) -> dict[str, Alert]:
    """Move every alert to the state that it has now.

    Args:
        rules: By the name of the alert.
        body: The result of ``run=monitor``.
        name: Of the pairs.
        known: The alerts before, by fingerprint.
        now: UTC.

    Returns:
        The alerts by fingerprint. One that was resolved, which every sink knows, is gone.
    """
    alerts = {
        mark: alert
        for mark, alert in known.items()
        if alert.state != "resolved" or "firing" in alert.told.values()
    }
    active = set()
    for alert_name, rule in rules.items():
        for labels, value in values_of(body, rule):
            if not rule.is_active(value):
                continue
            all_labels = {
                "alertname": alert_name,
                "name": name,
                "severity": rule.severity,
                **labels,
            }
            over = f" over {length_of(rule.window)}" if rule.window is not None else ""
            limit = f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}"
            summary = f"{name}: {rule.signal}{over} is {value:g}, {limit}"
            fresh = Alert(
                alert_name, all_labels, {"summary": summary}, "pending", _text(now), _text(now)
            )
            mark = fresh.fingerprint
            active.add(mark)
            before = alerts.get(mark)
            if before is None or before.state == "resolved":
                before = fresh
            steady = now - datetime.fromisoformat(before.active_at) >= rule.for_
            alerts[mark] = replace(
                before,
                state="firing" if steady or before.state == "firing" else "pending",
                seen_at=_text(now),
                annotations=fresh.annotations,
            )
    for mark in sorted(set(alerts) - active):
        alert = alerts[mark]
        hold_time = rules[alert.name].keep_firing_for if alert.name in rules else timedelta(0)
        if alert.state == "pending":
            del alerts[mark]
        elif alert.state == "firing" and now - datetime.fromisoformat(alert.seen_at) >= hold_time:
            alerts[mark] = replace(alert, state="resolved", ended_at=_text(now))
    return alerts


def _text(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def read_alerts(path: Path) -> dict[str, Alert]:
    """Read the alerts of the run before, none when there is no file.

    Raises:
        DataError: The file is none of ours.
    """
    if not path.is_file():
        return {}
    try:
        alerts = [
            # an earlier version told all sinks at once
            Alert(**{**one, "told": one["told"] if isinstance(one["told"], dict) else {}})
            for one in json.loads(path.read_text())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: no file of alerts ({error}); move it away.") from error
    return {alert.fingerprint: alert for alert in alerts}


def write_alerts(path: Path, alerts: Mapping[str, Alert]) -> None:
    """Keep the alerts for the next run."""
    with atomic_write(path) as stream:
        stream.write(json.dumps([asdict(alert) for alert in alerts.values()], indent=1).encode())
