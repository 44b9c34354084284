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

from framework.errors import (
    FrameworkError,
    RegistryError,
    explain_shortage,
    explain_system,
    shortage,
)

#: A namespace of its own, in which a disk can be mounted.
_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
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


def test_an_error_of_ours_says_what_to_do_about_the_shortage_behind_it() -> None:
    error = RegistryError("the store cannot be opened: database or disk is full.")
    assert "full; /data/state: the disk is full; free" in explain_shortage(error, "/data/state")
    memory = FrameworkError("source=files cannot be imported: failed to map segment.")
    assert explain_shortage(memory).endswith("or let it do less at once.")
    for said in (explain_shortage(error), "version 3 is no pair."):
        assert explain_shortage(RegistryError(said)) == said


def test_a_full_disk_is_named_where_the_system_names_no_file() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert explain_system(error, "/data/state").startswith("/data/state: No space left")
    error.filename = "/data/other/file"
    assert explain_system(error, "/data/state").startswith("/data/other/file: ")


def limited(folder: Path, limit: str, *overrides: str, before: str = "") -> tuple[int, str]:
    """Run a training of the example with limits, after the commands ``before`` of a shell that may
    mount and whose user has no rights but those that files give.
    """
    project = folder / "project"  # outside every repository: what is killed leaves its locks
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state"))
    start = [sys.executable, "-c", START, limit, "+experiment=shops", *overrides]
    if before:
        start = [*_UNSHARE, "sh", "-c", f'{before} && exec "$@"', "sh", *start]
    done = subprocess.run(
        start,
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
@pytest.mark.parametrize("files", [8, 12, 16])
def test_a_training_that_may_open_too_few_files_says_so(tmp_path: Path, files: int) -> None:
    code, text = limited(tmp_path, f"RLIMIT_NOFILE={files}", f"paths.state={tmp_path / 'state'}")
    assert code == 1, text
    assert "\n" not in text
    assert text.endswith("this process may not open more files; raise its limit (ulimit -n).")


@pytest.mark.stress
def test_a_file_in_the_place_of_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    code, text = limited(tmp_path, "RLIMIT_CORE=0", f"paths.state={tmp_path / 'state'}")
    assert code in (1, 2)
    assert "defect" not in text
    assert str(tmp_path / "state") in text


@pytest.mark.stress
@pytest.mark.parametrize(
    ("size", "expected", "said"),
    [
        ("64k", 1, "the disk is full"),
        ("600k", 1, "the disk is full"),
        ("1500k", 2, "make room"),  # there is room for the run's own files, and none for a pair
    ],
)
def test_a_disk_that_fills_up(tmp_path: Path, size: str, expected: int, said: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    code, text = limited(
        tmp_path,
        "RLIMIT_CORE=0",
        f"paths.state={state}",
        before=f"mount -t tmpfs -o size={size} none {state}",
    )
    assert code == expected, text
    assert "\n" not in text
    assert said in text
    assert str(state) in text


@pytest.mark.stress
@pytest.mark.parametrize("folder", ["", "artifacts", "offline"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, folder: str) -> None:
    state = tmp_path / "state"
    (state / folder).mkdir(parents=True)
    code, text = limited(
        tmp_path,
        "RLIMIT_CORE=0",
        f"paths.state={state}",
        before=f"mount --bind -o ro {state / folder} {state / folder}",
    )
    assert code == 1, text
    assert "\n" not in text
    assert "cannot be written" in text
    assert str(state) in text


@pytest.mark.stress
@pytest.mark.parametrize("megabytes", [700, 1000, 1300, 1900])
def test_a_process_without_enough_memory(tmp_path: Path, megabytes: int) -> None:
    code, text = limited(
        tmp_path, f"RLIMIT_AS={megabytes * 1_000_000}", f"paths.state={tmp_path / 'state'}"
    )
    assert code == 1, text
    assert "\n" not in text
    assert "not enough memory" in text


WATCHED = """
import os, resource, signal, sys
from framework.cli.address_space import check_address_space, watched
limit = int(sys.argv[1]) * 10**6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
def stopped():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getppid(), signal.SIGTERM)
    return 5 if signal.sigwait({signal.SIGTERM}) else 0
try:
    check_address_space()
    work = {"ends": lambda: 3, "aborts": os.abort, "stopped": stopped}[sys.argv[2]]
    code = watched(work, print)
except Exception as error:
    print(error)
    code = error.exit_code
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("megabytes", "what", "expected", "said"),
    [
        (1500, "ends", 1, "limited to 1,500 MB, and a run needs 2,000 MB at least; raise it"),
        (2500, "ends", 3, ""),
        (2500, "stopped", 5, ""),
        (2500, "aborts", 1, "ended the process by SIGABRT: most likely there is not enough memory"),
    ],
)
def test_a_limited_address_space_is_told_whatever_a_library_does(
    megabytes: int, what: str, expected: int, said: str
) -> None:
    start = [sys.executable, "-c", WATCHED, str(megabytes), what]
    done = subprocess.run(start, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == expected, done.stderr
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == bool(said)
