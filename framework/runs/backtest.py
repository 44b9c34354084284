"""``run=backtest``: figures and report; nothing is registered."""

from __future__ import annotations

from typing import Any

from framework.evaluate import evaluate
from framework.run import Run


def backtest(run: Run) -> dict[str, Any]:
    return evaluate(run).body
