"""A machine that lacks something: one line with what next, never a defect."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framework.errors import explain_system, shortage

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
START = """
import resource, runpy, sys
limits = dict(pair.split("=") for pair in sys.argv[1].split(","))
for name, value in limits.items():
    resource.setrlimit(getattr(resource, name), (int(value), int(value)))
sys.argv = ["framework", *sys.argv[2:]]
runpy.run_module("framework", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 8 GiB"), "not enough memory"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "the disk is full"),
        (RuntimeError("attempt to write a readonly database"), "cannot be written"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
    ],
)
def test_what_a_library_says_of_a_shortage_is_one(error: Exception, said: str) -> None:
    lacking = shortage(error)
    assert lacking is not None
    assert said in explain_system(lacking)


def test_the_cause_behind_an_error_counts_and_a_defect_stays_one() -> None:
    error = ValueError("a library's own")
    error.__cause__ = OSError(errno.EFBIG, "File too large", "/somewhere/file")
    assert "/somewhere/file" in explain_system(shortage(error) or OSError())
    assert shortage(ZeroDivisionError("division by zero")) is None


def limited(folder: Path, limit: str, *overrides: str) -> tuple[int, str]:
    project = folder / "project"  # outside every repository: what is killed leaves its locks
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state"))
    done = subprocess.run(
        [sys.executable, "-c", START, limit, "+experiment=shops", *overrides],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HYDRA_FULL_ERROR": "0"},
    )
    result = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return done.returncode, str(result.get("error", done.stderr[-600:]))


@pytest.mark.stress
@pytest.mark.parametrize(
    "limit", ["RLIMIT_FSIZE=4096", "RLIMIT_FSIZE=100000", "RLIMIT_FSIZE=600000"]
)
def test_a_training_without_enough_says_so(tmp_path: Path, limit: str) -> None:
    code, text = limited(tmp_path, limit, f"paths.state={tmp_path / 'state'}")
    assert code == 1, text
    assert "defect" not in text
    assert "\n" not in text


@pytest.mark.stress
def test_a_file_in_the_place_of_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    code, text = limited(tmp_path, "RLIMIT_CORE=0", f"paths.state={tmp_path / 'state'}")
    assert code in (1, 2)
    assert "defect" not in text
    assert str(tmp_path / "state") in text
