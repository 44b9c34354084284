"""Feast is imported without torch and without typeguard's compiling; both are as they were
afterwards.
"""

import subprocess
import sys

PROGRAM = """
import sys, typeguard
checked = typeguard.typechecked
from framework_feast.store import open_store
assert "torch" not in sys.modules
assert typeguard.typechecked is checked
import importlib.util
from feast.torch_wrapper import get_torch
if importlib.util.find_spec("torch") is not None:
    assert get_torch().tensor([1]).item() == 1
print("done")
"""


def test_torch_and_typeguard_are_left_out_of_the_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
