"""``run=materialize``: the newest features become readable for serving, once or by a schedule."""

from __future__ import annotations

from typing import Any

from framework.plugins.run import Run
from framework.runs.steps.answered import check_answered, newest_config
from framework.runs.steps.prepare_data import materialize as once
from framework.runs.steps.schedule import by_schedule

#: How many rows of a series become readable hangs on these.
_OWN_SECTIONS = ("panel", "model")


def materialize(run: Run) -> dict[str, Any]:
    """Once, or with ``schedule`` at the times of a cron expression (UTC) until SIGTERM or SIGINT; a
    signal lets the work at hand end.
    """
    check_answered(run, lambda: newest_config(run), own_sections=_OWN_SECTIONS)
    return by_schedule(run, once, {"rows": {}})
