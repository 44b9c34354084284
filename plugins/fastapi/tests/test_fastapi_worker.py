"""A worker that may not start, and the process whose copy it is."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from framework_fastapi import FastapiOptions
from framework_fastapi.served_pair import begin, tell, wait_and_prepare
from framework_fastapi.worker import make_app

from framework.errors import FrameworkError
from framework.serving.http.metric_registry import FOLDER_VARIABLE


def test_a_process_that_supervises_workers_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are copies of counts in the folder of the first."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "first"))
    refusals = get_context("spawn").SimpleQueue()
    deployment: Any = None  # nothing is asked of it
    with pytest.raises(SystemExit):
        make_app(deployment, FastapiOptions(), tmp_path / "second", refusals)
    with pytest.raises(FrameworkError, match="has supervised workers before"):
        raise refusals.get()


def test_the_process_to_copy_imports_what_it_is_told_and_ends_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_the_pair.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    tell(tmp_path, ["not_there", "of_the_pair"], "")
    wait_and_prepare(tmp_path)
    assert sys.modules.pop("of_the_pair")
    tell(tmp_path, [], "name: 1")  # no configuration: the workers say so
    wait_and_prepare(tmp_path)
    with pytest.raises(SystemExit):
        wait_and_prepare(tmp_path / "removed")
    orphan = tmp_path / "orphan"
    orphan.mkdir()
    begin(orphan)  # by this process, which is not its own parent
    with pytest.raises(SystemExit):
        wait_and_prepare(orphan)
