"""``run=pairs``: the complete pairs of a name, newest first; without a name those of all."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.plugins.run import Run
from framework.runs.steps.names import chosen_name


def pairs(run: Run) -> dict[str, Any]:
    return {"pairs": [asdict(pair) for pair in run.make("registry").pairs(chosen_name(run))]}
