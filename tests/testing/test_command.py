"""Commands of tests are forked from a process that has the imports."""

from __future__ import annotations

from framework.testing.servers import command

CHECK = """
import os, sys
missing = {"mlflow.pyfunc", "framework_feast.retrieval", "matplotlib", "xgboost"} - set(sys.modules)
os._exit(len(missing))
"""


def test_what_the_root_names_stays_imported_whatever_a_test_adds() -> None:
    """A second list in place of the first once cost every command of the gate its imports."""
    command.preload("framework.runs.pairs")
    process = command._forks.Process(target=exec, args=(CHECK,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
