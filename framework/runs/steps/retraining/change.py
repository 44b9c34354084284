"""The moment of the change that an alert is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def estimated_change(
    alert: Mapping[str, Any], body: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]
) -> str | None:
    """Estimate the origin of the change: where the evidence of the strongest alarm began its last
    rise.

    Args:
        alert: With the labels of its arm and target.
        body: The result of ``run=monitor``, which says what each arm serves.
        reports: Of every arm and pair.

    Returns:
        The origin, as the reports write it; None where no drift alarms for this arm and target.
    """
    arm, target = alert["labels"].get("arm"), alert["labels"].get("target")
    alarms = [
        finding
        for report in reports
        if report["arm"] == arm and report["version"] == body["serving"][arm]["version"]
        for finding in report["drift"]
        if finding["target"] == target and finding["verdict"] == "alarm"
    ]
    if not alarms:
        return None
    strongest = max(alarms, key=lambda finding: float(finding["evidence"]))
    before = [point for point in strongest["path"] if point[0] <= strongest["since"]]
    origin: str = min(reversed(before), key=lambda point: float(point[1]))[0]
    return origin
