"""Where alerts go: webhooks in the formats of Alertmanager (version 4) and of Slack."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from framework.errors import FrameworkError, one_line
from framework.monitoring.alerts import Alert

#: Seconds that a sink may take.
_PATIENCE = 10.0
#: What Alertmanager writes for an alert that has not ended.
_NOT_ENDED = "0001-01-01T00:00:00Z"


def alertmanager_body(name: str, alerts: Sequence[Alert]) -> dict[str, Any]:
    """What Alertmanager sends to a webhook, version 4: one group of alerts."""
    firing = any(alert.state == "firing" for alert in alerts)
    common = dict(alerts[0].labels)
    for alert in alerts[1:]:
        common = {k: v for k, v in common.items() if alert.labels.get(k) == v}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{name="{name}"}}',
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "framework",
        "groupLabels": {"name": name},
        "commonLabels": common,
        "commonAnnotations": alerts[0].annotations if len(alerts) == 1 else {},
        "externalURL": "",
        "alerts": [
            {
                "status": alert.state,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": alert.active_at,
                "endsAt": alert.ended_at or _NOT_ENDED,
                "generatorURL": "",
                "fingerprint": alert.fingerprint,
            }
            for alert in alerts
        ],
    }


def slack_body(alerts: Sequence[Alert]) -> dict[str, Any]:
    """A message for an incoming webhook of Slack."""
    lines = [
        f"[{alert.state.upper()}] {alert.name} ({alert.labels['severity']}): "
        f"{alert.annotations['summary']}"
        for alert in alerts
    ]
    return {"text": "\n".join(lines)}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Make a redirect an error: urllib would follow it without the body."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: dict[str, Any]) -> None:
    """Send JSON.

    Raises:
        FrameworkError: It was not taken. The message has no path of the URL, which may be secret.
    """
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}"
    if parts.scheme not in ("http", "https"):
        raise FrameworkError(f"{where}: alerts are sent to an http or https URL.")
    request = urllib.request.Request(  # noqa: S310
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with _OPENER.open(request, timeout=_PATIENCE) as answer:
            answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise FrameworkError(f"{where}: alerts were not taken ({one_line(error)}).") from error
