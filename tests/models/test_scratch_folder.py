"""Temporary files are removed with what needs them, and those of killed processes by the next."""

from __future__ import annotations

from pathlib import Path

from framework.data.scratch import Scratch
from framework.models.scratch_folder import ScratchFolder


def test_a_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".scratch-left"
    left.mkdir()
    (left / "page").write_bytes(b"x")
    (tmp_path / ".scratch-left.lock").write_text("")
    mine = ScratchFolder(Scratch(tmp_path))
    other = ScratchFolder(Scratch(tmp_path))
    assert not left.exists()
    assert mine.path.is_dir()
    assert other.path.is_dir()
    mine.close()
    other.close()
    assert not list(tmp_path.iterdir())
