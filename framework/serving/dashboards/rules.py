"""Recording and alerting rules of Prometheus.

Availability and latency are objectives with a budget of errors. An alert fires when the budget
burns too fast in a long and in a short window at once: the long one keeps a short burst quiet, the
short one ends the alert soon after its cause. Windows and factors are those of Beyer et al.,
*The Site Reliability Workbook*, chapter 5 (2018).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Factor of the budget, long window, short window, severity.
_BURNS = (
    (14.4, "1h", "5m", "page"),
    (6.0, "6h", "30m", "page"),
    (3.0, "1d", "2h", "ticket"),
    (1.0, "3d", "6h", "ticket"),
)
_WINDOWS = tuple(dict.fromkeys(window for _, long, short, _ in _BURNS for window in (short, long)))
_ERRORS, _SLOW = "framework:request_errors:ratio_rate", "framework:request_slow:ratio_rate"


@dataclass(frozen=True, slots=True)
class Objectives:
    """``availability``: per cent of the requests that are not answered with 5xx. ``fast``: per cent
    of the forecasts that are answered within ``seconds``, a bound of the histogram.
    ``routes``: a regular expression of the routes that forecast.
    """

    availability: float
    fast: float
    seconds: float
    routes: str


def rules_of(objectives: Objectives) -> dict[str, Any]:
    """Make the content of a rule file.

    Args:
        objectives: What is promised.

    Returns:
        ``{"groups": [...]}``, as Prometheus reads it.
    """
    return {
        "groups": [
            {"name": "framework-objectives", "rules": _recorded(objectives)},
            {"name": "framework-burn-rates", "rules": _burning(objectives)},
            {"name": "framework-serving", "rules": _serving()},
            {"name": "framework-monitoring", "rules": _monitoring()},
        ]
    }


def _recorded(objectives: Objectives) -> list[dict[str, Any]]:
    rules = []
    for window in _WINDOWS:
        total = f"sum by (job) (rate(framework_requests_total[{window}]))"
        failed = f'sum by (job) (rate(framework_requests_total{{status=~"5.."}}[{window}]))'
        routes = f"route=~{json.dumps(objectives.routes)}"  # PromQL escapes as JSON does
        fast = (
            "sum by (job) (rate(framework_request_seconds_bucket"
            f'{{{routes}, le="{objectives.seconds}"}}[{window}]))'
        )
        request_rate = f"sum by (job) (rate(framework_request_seconds_count{{{routes}}}[{window}]))"
        rules += [
            # without a single error there is no series of errors, and the ratio is 0
            {"record": f"{_ERRORS}{window}", "expr": f"({failed} or 0 * {total}) / {total}"},
            {"record": f"{_SLOW}{window}", "expr": f"1 - {fast} / {request_rate}"},
        ]
    return rules


def _burning(objectives: Objectives) -> list[dict[str, Any]]:
    rules = []
    for name, series, objective, what in (
        ("FrameworkErrorBudgetBurns", _ERRORS, objectives.availability, "fail"),
        ("FrameworkLatencyBudgetBurns", _SLOW, objectives.fast, "are slow"),
    ):
        budget = (100 - objective) / 100
        for factor, long, short, severity in _BURNS:
            limit = f"{factor * budget:.6g}"
            rules.append(
                _alert(
                    name,
                    f"{series}{long} > {limit} and {series}{short} > {limit}",
                    "2m",
                    severity,
                    f"{{{{ $value | humanizePercentage }}}} of the requests {what}: the budget of "
                    f"{100 * budget:g} % burns {factor:g} times too fast",
                    {"window": long},
                )
            )
    return rules


def _serving() -> list[dict[str, Any]]:
    return [
        _alert(
            "FrameworkServerDown",
            "up == 0 and on (job, instance) max_over_time(framework_pair_info[1h]) > 0",
            "2m",
            "page",
            "{{ $labels.instance }} does not answer Prometheus",
        ),
        _alert(
            "FrameworkDegraded",
            "max by (job, arm) (framework_degraded) == 1",
            "10m",
            "page",
            "{{ $labels.arm }} does not serve what its alias means, or the feature store is away",
        ),
        _alert(
            "FrameworkPairRefused",
            'sum by (job, arm) (increase(framework_reloads_total{outcome="refused"}[15m])) > 0',
            "0m",
            "ticket",
            "a pair that {{ $labels.arm }} moved to failed its proof; the one before still answers",
        ),
        _alert(
            "FrameworkForecastsMissing",
            'sum by (job) (rate(framework_forecasts_total{status!="ok"}[30m])) '
            "/ sum by (job) (rate(framework_forecasts_total[30m])) > 0.1",
            "15m",
            "ticket",
            "{{ $value | humanizePercentage }} of the forecasts are not ok: features are missing "
            "or stale",
        ),
        _alert(
            "FrameworkLedgerLoses",
            'sum by (job) (increase(framework_records_total{outcome!="written"}[15m])) > 0',
            "0m",
            "ticket",
            "{{ $value }} forecasts did not reach the ledger",
        ),
    ]


def _monitoring() -> list[dict[str, Any]]:
    return [
        _alert(
            "FrameworkDrift",
            "max by (job, arm, target, signal) (framework_monitor_drift) == 1",
            "0m",
            "ticket",
            "the forecasts of {{ $labels.target }} by {{ $labels.arm }} drift: "
            "{{ $labels.signal }}",
        ),
        _alert(
            "FrameworkMonitorAlert",
            'max by (job, alert) (framework_monitor_alert{state="firing"}) == 1',
            "0m",
            "ticket",
            "the alert {{ $labels.alert }} of run=monitor fires",
        ),
        _alert(
            "FrameworkMonitorLate",
            "time() - max by (job) (framework_monitor_timestamp_seconds) > 2 * 86400",
            "0m",
            "ticket",
            "run=monitor has not run for {{ $value | humanizeDuration }}",
        ),
        _alert(
            "FrameworkMonitorUnreadable",
            "max by (job) (framework_monitor_unreadable) == 1",
            "0m",
            "ticket",
            "the file of the newest run=monitor is damaged or of another version; run it again",
        ),
    ]


def _alert(
    name: str,
    expression: str,
    wait: str,
    severity: str,
    summary: str,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"severity": severity, **(labels or {})},
        "annotations": {"summary": summary},
    }
