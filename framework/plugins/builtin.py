"""What the core offers beside its runs: computing on this machine. Through the same hook as every
plugin.
"""

from __future__ import annotations

from pydantic import PositiveInt

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


@hookimpl
def components() -> list[Component]:
    return [
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
