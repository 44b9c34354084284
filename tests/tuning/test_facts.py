"""The facts of a panel do not depend on its pieces, and take little memory beside it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from framework.data import scratch
from framework.testing.panels import make_panel
from framework.tuning.automatic.facts import describe


def test_pieces_change_no_fact_and_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make_panel(series=40, days=3_000)
    panel.past[::7, 0] = 0.0
    panel.past[::11, 1] = np.nan
    arguments = panel, ("sales", "visits"), (7, 14, 30), 5
    whole = describe(*arguments)
    monkeypatch.setattr(scratch, "BLOCK", 5_000)
    tracemalloc.start()
    try:
        pieces = describe(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pieces == whole
    assert whole.targets["sales"].zeros > 0.1
    assert peak < 8 * len(panel)
