"""``make loop-demo`` in small, with a real server and real runs: a change of level leads to one
retraining, noise to none, and kills to the same state.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "loop_demo.py"


def demo(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, DEMO, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.stress
def test_a_change_of_level_leads_to_one_retraining_and_the_error_recovers(tmp_path: Path) -> None:
    story = demo(tmp_path, "--days", "126", "--change", "30")
    assert "as it should be: exactly one retraining" in story
    assert (tmp_path / "loop_demo.png").stat().st_size > 10_000


@pytest.mark.stress
def test_noise_moves_nothing(tmp_path: Path) -> None:
    story = demo(tmp_path, "--noise", "--days", "126", "--change", "30")
    assert "every retraining was refused; nothing moved" in story


@pytest.mark.stress
def test_kills_at_random_moments_leave_what_no_kill_leaves(tmp_path: Path) -> None:
    story = demo(tmp_path, "--kills", "20", "--change", "30", "--seed", "1")
    assert "20 of 20 replays ended as without kills" in story
