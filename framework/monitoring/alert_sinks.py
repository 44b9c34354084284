"""The receivers of alerts: stderr, and webhooks in the formats of Alertmanager (version 4) and of
Slack.
"""

from __future__ import annotations

import http.client
import json
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from framework.errors import FrameworkError, one_line
from framework.interfaces.alert_sink import Alert, AlertSink
from framework.secrets import masked

#: Seconds that a sink may take.
_PATIENCE = 10.0
#: What Alertmanager writes for an alert that has not ended.
_NOT_ENDED = "0001-01-01T00:00:00Z"


class LogSink(AlertSink):
    """Writes a line for each alert to stderr."""

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            print(masked(f"monitor: {alert.line}"), file=sys.stderr, flush=True)


class WebhookSink(AlertSink):
    """Posts what Alertmanager posts to a webhook, version 4: one group of alerts."""

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        firing = any(alert.state == "firing" for alert in alerts)
        common = dict(alerts[0].labels)
        for alert in alerts[1:]:
            common = {k: v for k, v in common.items() if alert.labels.get(k) == v}
        body = {
            "version": "4",
            "groupKey": f'{{}}:{{name="{name}"}}',
            "truncatedAlerts": 0,
            "status": "firing" if firing else "resolved",
            "receiver": "framework",
            "groupLabels": {"name": name},
            "commonLabels": common,
            "commonAnnotations": alerts[0].annotations if len(alerts) == 1 else {},
            "externalURL": "",
            "alerts": [_alertmanager(alert) for alert in alerts],
        }
        _post(self.options.url, body)


def _alertmanager(alert: Alert) -> dict[str, Any]:
    return {
        "status": alert.state,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.active_at,
        "endsAt": alert.ended_at or _NOT_ENDED,
        "generatorURL": "",
        "fingerprint": alert.fingerprint,
    }


class SlackSink(AlertSink):
    """Posts a message as incoming webhooks of Slack take it."""

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        _post(self.options.url, {"text": "\n".join(alert.line for alert in alerts)})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Make a redirect an error: urllib would follow it without the body."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _post(url: str, body: dict[str, Any]) -> None:
    """Send JSON. The message of an error has no path of the URL, which may be secret."""
    parts = urlsplit(url)
    request = urllib.request.Request(  # noqa: S310  the options take http alone
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with _OPENER.open(request, timeout=_PATIENCE) as answer:
            answer.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FrameworkError(
            f"{parts.scheme}://{parts.hostname}: alerts were not taken ({one_line(error)})."
        ) from error
