"""The newest result of ``run=monitor`` as metrics, so that one Prometheus sees servers and
forecasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric


def monitor_text(report: Path) -> bytes:
    """Write the figures of a report.

    Args:
        report: The file of :func:`framework.monitoring.report.report_path`.

    Returns:
        Prometheus text: ``framework_monitor_…``; nothing where nobody has monitored yet. Of a file
        that is damaged or of another version only ``framework_monitor_unreadable`` is 1: the
        server's own metrics do not depend on it.
    """
    try:
        families = list(_families(json.loads(report.read_bytes())))
    except FileNotFoundError:
        return b""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        families = []
    unreadable = GaugeMetricFamily(
        "framework_monitor_unreadable",
        "1 while the file of the newest run=monitor is damaged or of another version",
        value=not families,
    )
    return generate_latest(_Families([unreadable, *families]))


class _Families(CollectorRegistry):
    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _families(body: Mapping[str, Any]) -> Iterator[Metric]:
    figures = GaugeMetricFamily(
        "framework_monitor_figure",
        "A figure of the served forecasts whose actuals are known (of=live), and of the backtest",
        labels=["arm", "target", "figure", "of"],
    )
    for of in ("live", "backtest"):
        for arm, targets in body[of].items():
            for target, values in targets.items():
                for name, value in values.items():
                    if isinstance(value, int | float):
                        figures.add_metric([arm, target, name, of], value)
    yield figures
    drift = GaugeMetricFamily(
        "framework_monitor_drift",
        "1 while a signal of drift is an alarm",
        labels=["arm", "version", "target", "signal", "steps"],
    )
    for one in body["drift"]:
        steps = "-".join(map(str, one["steps"]))
        labels = [one["arm"], str(one["version"]), one["target"], one["signal"], steps]
        drift.add_metric(labels, one["verdict"] == "alarm")
    yield drift
    alerts = GaugeMetricFamily(
        "framework_monitor_alert",
        "1 for the state of each alert of run=monitor",
        labels=["alert", "state"],
    )
    for alert, state in {(one["name"], one["state"]) for one in body["alerts"]}:
        alerts.add_metric([alert, state], 1)
    yield alerts
    yield GaugeMetricFamily(
        "framework_monitor_ledger_missing",
        "Forecasts that the ledger lacks",
        value=body["ledger"]["missing"],
    )
    yield GaugeMetricFamily(
        "framework_monitor_timestamp_seconds",
        "When run=monitor ran, seconds since 1970",
        value=datetime.fromisoformat(body["window"]["at"]).timestamp(),
    )
