"""What the core offers beside its runs: computing on this machine. Through the same hook as every
plugin.
"""

from __future__ import annotations

from pydantic import Field, PositiveInt

from framework.interfaces.ledger import FilesLedgerOptions
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class MonitorOptions(Options):
    """``alpha``: the probability of any false alarm of one arm, pair and target in a review period
    of ``review`` observations. ``false_share``: how many of the series that are named as drifted
    may be false. ``anomaly``: the probability that a normal actual is called an anomaly. ``worst``:
    series that are listed.
    """

    alpha: float = Field(default=0.05, gt=0, lt=1)
    false_share: float = Field(default=0.1, gt=0, lt=1)
    review: PositiveInt = 365
    anomaly: float = Field(default=0.01, gt=0, lt=1)
    worst: PositiveInt = 10


class ProcessesOptions(Options):
    """``workers``: processes, null for as many as the cores have room for with ``threads`` each,
    the threads of the numeric libraries. An explicit ``model.n_jobs`` is per process and wins over
    ``threads``.
    """

    workers: PositiveInt | None = None
    threads: PositiveInt = 1


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "run",
            "monitor",
            "framework.runs.monitor:monitor",
            MonitorOptions,
            "how good the served forecasts turned out, and whether they drift",
            takes=("start",),
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
    ]
