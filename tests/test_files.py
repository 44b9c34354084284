"""A lock that another process holds: waited for in turn, let go by a kill, left by Ctrl-C whatever
library is loaded. A file that is there whole or not at all.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from framework import files
from framework.files import (
    LockedError,
    atomic_write,
    copy_database,
    exclusive,
    holder,
    remove_remains,
)

HOLD = """
import sys
from pathlib import Path
from framework.files import exclusive
with exclusive(Path(sys.argv[1]), 'the lock'):
    print('held', flush=True)
    input()
"""
WRITE = """
import sys
from pathlib import Path
from framework.files import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b'half of the new')
    stream.flush()
    print('written', flush=True)
    input()
"""
WAIT = """
import sys
from pathlib import Path
{first}
from framework.files import exclusive
try:
    with exclusive(Path(sys.argv[1]), 'the lock', say=lambda text: print('waiting', flush=True)):
        print('held', flush=True)
except KeyboardInterrupt:
    print('interrupted', flush=True)
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("first", ["", "import polars"])
def test_ctrl_c_ends_a_wait(tmp_path: Path, first: str) -> None:
    """polars puts a handler under Python's that lets system calls go on."""
    path = tmp_path / "new" / "lock"
    with exclusive(path, "the lock"):
        waiter = started(WAIT.format(first=first), path)
        assert said(waiter) == "waiting"
        waiter.send_signal(signal.SIGINT)
        assert waiter.communicate(timeout=60)[0] == "interrupted\n"


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = started(HOLD, path)
    assert said(holder) == "held"
    waiter = started(WAIT.format(first=""), path)
    assert said(waiter) == "waiting"
    holder.kill()
    assert said(waiter) == "held"
    holder.communicate()
    waiter.communicate()


def test_a_lock_does_not_wait_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    (tmp_path / "same").symlink_to(path)
    with exclusive(path, "the lock"):
        for name in ("lock", "same"):
            with (
                pytest.raises(RuntimeError, match="would wait for itself"),
                exclusive(tmp_path / name, "the lock"),
            ):
                pass
    with exclusive(path, "the lock"):
        pass


@pytest.mark.parametrize("limit", [0, 0.3])
def test_a_wait_ends_at_its_limit_and_says_who_holds_the_lock(tmp_path: Path, limit: float) -> None:
    path = tmp_path / "lock"
    program = HOLD.replace(
        "import sys\n",
        "import sys\nsys.argv = ['framework', sys.argv[1], 'run=train', 'password=secret']\n",
        1,
    )
    owner = started(program, path)
    assert said(owner) == "held"
    named = rf"the ledger is held by process {owner.pid} \(framework run=train\) since 20\d\d-.*"
    with pytest.raises(LockedError, match=named), exclusive(path, "the ledger", limit=limit):
        pass
    owner.communicate("\n")
    with exclusive(path, "the ledger", limit=0):  # a wait that was given up does not take it
        assert holder(path).startswith("process")
    assert path.read_text() == ""


def test_threads_of_a_process_take_turns(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path, inside, most = tmp_path / "lock", [], []

    def work(number: int) -> None:
        with exclusive(path, "the lock", remove=number % 2 == 0):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.005)
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == [1] * 40


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_when_its_content_is_complete(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "folder" / "file"
    for content in (b"old", b"new"):
        before = path.read_bytes() if path.exists() else None
        with atomic_write(path, durable=durable) as stream:
            stream.write(content)
            stream.flush()
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(path) as stream:
        stream.writelines([b"half of the new", "no bytes"])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file_and_remains_that_are_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "file[1]", tmp_path / ".another.1-1.tmp"
    path.write_bytes(b"old")
    other.touch()
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3
    remove_remains(path)
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_only_one_module_renames_and_locks_files() -> None:
    """Every other one calls :mod:`framework.files`. SQLite's own files are no content of ours."""
    root = Path(__file__).parents[1]
    allowed = {"files.py", "sqlite.py", "setup.py", "artifacts.py"}
    sources = [*root.glob("framework/**/*.py"), *root.glob("plugins/*/framework_*/**/*.py")]
    words = ("fcntl", "os.replace", "os.rename", "temporary.replace", ".tmp")
    own = {
        path.name
        for path in sources
        if any(word in path.read_text() for word in words) and path.name not in allowed
    }
    # They remove the remains of a folder; ledger_counts tells by its lock who still writes; a copy
    # of a state leaves out what passes; a restore puts copies in place with their times.
    names = {"backup.py", "batch_scoring.py", "ledger_counts.py", "restore.py", "state_copy.py"}
    assert own == names


def test_the_copy_of_a_database_that_stays_locked_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError, match=r"a\.db is locked"):
            copy_database(tmp_path / "a.db", tmp_path / "b.db")
