"""The ``report`` hook: ``report/index.html`` of a run that has a backtest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from framework.interfaces.plugin import hookimpl

if TYPE_CHECKING:
    from framework.plugins.run import Run


@hookimpl
def report(run: Run) -> Path | None:
    if run.record.backtest is None:
        return None
    from framework_report.page import (
        write_report,
    )  # matplotlib costs a second; only a backtest needs it

    return write_report(run, run.record.backtest)
