"""``run=history``: what happened to the experiment's name or to one alias, oldest first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.run import Run


def history(run: Run) -> dict[str, Any]:
    return {"history": [asdict(entry) for entry in run.make("registry").history(run.config.name, run.config.alias)]}
