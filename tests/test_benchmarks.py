"""The scripts of ``benchmarks/`` still run, at their smallest: a figure that cannot be measured
again is no evidence. What they print here says nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SMALLEST = {
    "batch_scoring": ["--rows", "2000", "--rounds", "1"],
    "batching": ["--models", "xgboost", "--rounds", "1"],
    "feast_batch": [],
    "gpu": [
        *("--device", "cpu", "--seconds", "0.1", "--origins", "64"),
        *("--rounds", "1", "--requests", "4"),
    ],
    "ledger": ["--rows", "20000", "--kills", "1", "--rate", "50", "--seconds", "2"],
    "many_series": ["--series", "20", "--trees", "5", "--rounds", "1", "--only", "framework"],
    "open_inference": ["--rows", "1", "--rounds", "1", "--requests", "64"],
    "pair_stress": ["--processes", "2", "--registrations", "2", "--readers", "1", "--loads", "5"],
    "point_in_time": ["--rows", "20000", "--rounds", "1"],
    "serving": ["--rows", "1", "--rounds", "1", "--requests", "64"],
    "serving_live": ["--rounds", "1", "--requests", "50"],
    "serving_memory": ["--requests", "200", "--every", "100"],
    "training": ["--origins", "64", "--rounds", "1", "--models", "nlinear"],
    "torch_serving": ["--seconds", "0.1", "--models", "nlinear"],
}


@pytest.mark.stress
@pytest.mark.parametrize("name", SMALLEST)
def test_it_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *SMALLEST[name]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
