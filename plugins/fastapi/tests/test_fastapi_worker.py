"""A worker that may not start."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from framework_fastapi import FastapiOptions
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
