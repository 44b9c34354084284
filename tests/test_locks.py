"""A lock that another process holds: waited for in turn, let go by a kill, left by Ctrl-C whatever library is loaded."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framework.locks import exclusive

HOLD = """
import sys
from pathlib import Path
from framework.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print('held', flush=True)
    input()
"""
WAIT = """
import sys
from pathlib import Path
{first}
from framework.locks import exclusive
try:
    with exclusive(Path(sys.argv[1]), lambda: print('waiting', flush=True)):
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
    with exclusive(path):
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
