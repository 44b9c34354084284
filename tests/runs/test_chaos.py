"""Some rounds of ``make chaos``, which keep every promise that it counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import chaos


def test_some_rounds_lose_and_mix_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    code = chaos.main(rounds=2, seed=3, pairs=2, pause=0.5)
    summary = capfd.readouterr().out
    assert code == 0, summary
    assert "2 rounds" in summary
