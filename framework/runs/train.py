"""``run=train``: choose with ``model=auto``, backtest, fit on everything, register the pair."""

from __future__ import annotations

from typing import Any

from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.automatic import settled
from framework.runs.steps.register import train_pair


def train(run: Run) -> dict[str, Any]:
    registry: Registry = run.make("registry")
    registry.check_options()
    run, choice, panel = settled(run)
    return {**train_pair(run, registry, panel), **choice}
