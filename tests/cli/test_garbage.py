"""How Python's garbage collector is set for a command."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, sys
from framework.cli.main import main

class Circle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("looked through")

sys.argv = ["framework", "--version"]
main()
circle = Circle()
print(gc.get_threshold()[0])
"""


def test_a_command_collects_seldom_and_not_at_its_end() -> None:
    """Else its imports are looked through again and again, for a second of each command."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, check=True
    )
    assert "looked through" not in done.stdout
    assert int(done.stdout.split()[-1]) > 10_000
