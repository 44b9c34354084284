"""``run=pairs``: the complete pairs of the experiment's name, newest first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.plugins.run import Run


def pairs(run: Run) -> dict[str, Any]:
    return {"pairs": [asdict(pair) for pair in run.make("registry").pairs(run.config.name)]}
