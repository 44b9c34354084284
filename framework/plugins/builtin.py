"""The offer of the core beside its runs: computing on this machine, a ledger of files, alert sinks.
Through the same hook as every plugin.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from framework.interfaces.alert_sink import SmtpOptions, WebhookOptions
from framework.interfaces.ledger import FilesLedgerOptions
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class ProcessesOptions(Options):
    """``workers``: processes, null for as many as the cores have room for with ``threads`` each,
    the threads of the numeric libraries. An explicit ``model.n_jobs`` is per process and wins over
    ``threads``.
    """

    workers: PositiveInt | None = None
    threads: PositiveInt = 1


class EnsembleOptions(Options):
    """``members``: by a name of your own the node of a model, ``{name: MODEL, max_depth: 4}``;
    what a node leaves out has that model's default. ``weights``: every member counts the same
    (``equal``), or as its errors on the last origins of the training rows say, for each series
    (``by_series``). ``season_length``: in steps.
    """

    members: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], dict[str, Any]],
        Field(min_length=2),
    ]
    weights: Literal["equal", "by_series"] = "equal"
    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "ensemble",
            "framework.plugins.ensemble:Ensemble",
            EnsembleOptions,
            "the mean of several models, weighted by series on demand, as one pair",
        ),
        Component(
            "model",
            "auto",
            "framework.tuning.automatic.placeholder:Unchosen",
            summary="the best of up to twelve set-ups, written as an experiment",
        ),
        Component(
            "compute",
            "local",
            "framework.plugins.compute:LocalCompute",
            summary="one after another, in this process",
        ),
        Component(
            "compute",
            "processes",
            "framework.plugins.compute:ProcessesCompute",
            ProcessesOptions,
            "several processes of this machine",
        ),
        Component(
            "ledger",
            "files",
            "framework.monitoring.ledger_files:FilesLedger",
            FilesLedgerOptions,
            "Parquet files below paths.state",
        ),
        Component(
            "alert_sink",
            "log",
            "framework.monitoring.alert_sinks:LogSink",
            summary="a line on stderr",
        ),
        Component(
            "alert_sink",
            "webhook",
            "framework.monitoring.alert_sinks:WebhookSink",
            WebhookOptions,
            "a webhook in Alertmanager's format, version 4",
        ),
        Component(
            "alert_sink",
            "slack",
            "framework.monitoring.alert_sinks:SlackSink",
            WebhookOptions,
            "an incoming webhook of Slack, or of what takes the same",
        ),
        Component(
            "alert_sink",
            "smtp",
            "framework.monitoring.mail_sink:SmtpSink",
            SmtpOptions,
            "e-mail by a mail server",
        ),
    ]
