"""Alerts: rules over what ``run=monitor`` found, with the states of Prometheus, kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from framework.errors import DataError
from framework.files import atomic_write
from framework.options import Duration, Options

#: What a rule may look at: counts, and figures of ``live``.
Signal = Literal[
    "drift",
    "drifted_series",
    "missing",
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
State = Literal["pending", "firing", "resolved"]


class AlertRule(Options):
    """When to alert.

    ``signal``: ``drift`` (how many tests alarm), ``drifted_series`` (how many series), ``missing``
    (forecasts that the ledger lacks), or a figure of ``live`` such as ``MAE`` or ``coverage_80``,
    for each target of the pair that each arm serves. It is active while the value is ``above`` or
    ``below`` the limit that is given. ``for``: how long it must be active before it fires;
    ``keep_firing_for``: how long it fires on after it was last active. ``severity``: a label.
    """

    signal: Signal
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    for_: Duration = Field(default=timedelta(0), alias="for")
    keep_firing_for: Duration = Field(default=timedelta(0))
    severity: str = "warning"

    @model_validator(mode="after")
    def _limited(self) -> AlertRule:
        if (self.above is None) == (self.below is None):
            raise ValueError("give a limit: above or below, one of them")
        return self

    def is_active(self, value: float) -> bool:
        """Say whether a value is beyond a limit."""
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: a rule and labels. Times are ISO 8601, UTC.

    ``active_at``: since when it is active. ``seen_at``: when it was last active. ``told``: the
    state that every sink has been told of, None for none.
    """

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: State
    active_at: str
    seen_at: str
    ended_at: str | None = None
    told: State | None = None

    @property
    def fingerprint(self) -> str:
        """What tells alerts apart."""
        text = json.dumps(self.labels, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def is_due(self) -> bool:
        """Whether somebody is to be told."""
        return self.state not in ("pending", self.told)


def values_of(body: Mapping[str, Any], signal: str) -> list[tuple[dict[str, str], float]]:
    """The values of a signal in the result of ``run=monitor``, each with its labels. Of an arm that
    had several pairs the one that it serves counts: drift of another is over.
    """
    if signal == "missing":
        return [({}, float(body["ledger"]["missing"]))]
    cells = [(arm, target) for arm, live in body["live"].items() for target in live]
    if signal in ("drift", "drifted_series"):
        return [
            (
                {"arm": arm, "target": target},
                float(
                    sum(
                        (one["arm"], one["target"]) == (arm, target)
                        and one["version"] == body["serving"][arm]["version"]
                        and one.get("verdict", "alarm") == "alarm"
                        for one in body[signal]
                    )
                ),
            )
            for arm, target in cells
        ]
    return [
        ({"arm": arm, "target": target}, float(body["live"][arm][target][signal]))
        for arm, target in cells
        if signal in body["live"][arm][target]
    ]


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
        The alerts by fingerprint. One that was resolved, and told, is gone.
    """
    alerts = {
        mark: alert
        for mark, alert in known.items()
        if not (alert.state == "resolved" and alert.told == "resolved")
    }
    active = set()
    for alert_name, rule in rules.items():
        for labels, value in values_of(body, rule.signal):
            if not rule.is_active(value):
                continue
            all_labels = {
                "alertname": alert_name,
                "name": name,
                "severity": rule.severity,
                **labels,
            }
            limit = f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}"
            summary = f"{name}: {rule.signal} is {value:g}, {limit}"
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
        alerts = [Alert(**one) for one in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: no file of alerts ({error}); move it away.") from error
    return {alert.fingerprint: alert for alert in alerts}


def write_alerts(path: Path, alerts: Mapping[str, Alert]) -> None:
    """Keep the alerts for the next run."""
    with atomic_write(path) as stream:
        stream.write(json.dumps([asdict(alert) for alert in alerts.values()], indent=1).encode())
