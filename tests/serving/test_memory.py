"""What a request has freed stays for the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from framework.serving.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * (20 << 20)
before = faults()
for _ in range(5):
    b"x" * (20 << 20)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_that_was_freed_is_used_again_without_new_pages() -> None:
    pages = {
        kind: int(subprocess.check_output([sys.executable, "-c", SCRIPT, kind]))
        for kind in ("kept", "given_back")
    }
    assert pages["kept"] < 100
    assert pages["given_back"] > 5_000
