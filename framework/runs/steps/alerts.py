"""The alerts of ``run=monitor``: move their states on, and tell the sinks once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from framework.errors import ConfigError, FrameworkError
from framework.files import exclusive
from framework.interfaces.alert_sink import Alert, AlertSink
from framework.monitoring.alerts import read_alerts, update, values_of, write_alerts
from framework.options import validate
from framework.plugins.run import Run


def make_sinks(run: Run) -> dict[str, AlertSink]:
    """Make the sinks of ``monitor.alerts.sinks``, by their names; the log where there are none.

    Raises:
        ConfigError: One is not installed, has a wrong option, or names a file that is not there.
    """
    sinks = {}
    for key, node in (run.options.alerts.sinks or {"log": {"name": "log"}}).items():
        path, name = f"monitor.alerts.sinks.{key}", node.get("name")
        if not isinstance(name, str):
            known = ", ".join(run.plugins.names("alert_sink"))
            raise ConfigError(f"{path}.name: say which alert sink it is. Installed: {known}.")
        values = {option: value for option, value in node.items() if option != "name"}
        options = validate(run.plugins.find("alert_sink", name).options, values, path)
        sinks[key] = run.plugins.load("alert_sink", name)(options)
        try:
            sinks[key].check()
        except ConfigError as error:
            raise ConfigError(f"{path}.{error}") from None
    return sinks


def tell(
    run: Run, body: Mapping[str, Any], sinks: Mapping[str, AlertSink], warnings: list[str]
) -> list[dict[str, Any]]:
    """Move the alerts on, and tell each sink of those that fire or are resolved, once.

    What a sink did not take is sent to it again by the next run.

    Args:
        run: Its options have the rules.
        body: The result of the run so far.
        sinks: By name.
        warnings: Grows by what is doubtful.

    Returns:
        Of each alert ``name``, ``state``, ``labels``, ``since``.
    """
    rules, name = run.options.alerts.rules, run.config.name
    path = run.config.paths.state / "monitoring" / f"{name}.alerts.json"
    if not rules and not path.is_file():
        return []
    for rule_name, rule in rules.items():
        if not values_of(body, rule):
            warnings.append(
                f"monitor.alerts.rules.{rule_name}: no forecast has the figure {rule.signal}, so "
                "this rule was not judged"
            )
    with exclusive(path.with_suffix(".lock"), "the alerts"):
        alerts = update(rules, body, name, read_alerts(path), datetime.now(UTC))
        accepted = {
            sink_name: _send(sink_name, sink, name, alerts, warnings)
            for sink_name, sink in sinks.items()
        }
        alerts = {mark: _told(alert, accepted) for mark, alert in alerts.items()}
        write_alerts(path, alerts)
    return [
        {"name": one.name, "state": one.state, "labels": one.labels, "since": one.active_at}
        for one in alerts.values()
    ]


def _send(
    sink_name: str, sink: AlertSink, name: str, alerts: Mapping[str, Alert], warnings: list[str]
) -> bool:
    """Tell one sink what it does not know. False when it did not take it."""
    due = [alert for alert in alerts.values() if alert.is_due(sink_name)]
    if not due:
        return True
    try:
        sink.send(name, due)
    except FrameworkError as error:
        warnings.append(f"monitor.alerts.sinks.{sink_name}: {error} The next run sends them again.")
        return False
    return True


def _told(alert: Alert, accepted: Mapping[str, bool]) -> Alert:
    """The alert with what each of today's sinks knows of it."""
    states = {
        sink: alert.state if took and alert.is_due(sink) else alert.told[sink]
        for sink, took in accepted.items()
        if sink in alert.told or (took and alert.is_due(sink))
    }
    return replace(alert, told=states)
