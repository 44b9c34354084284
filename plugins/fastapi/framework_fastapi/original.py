"""Imported last by the process whose copies are the workers."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

# Each worker uses what is imported here.
import uvicorn.lifespan.on
import uvicorn.loops.uvloop  # noqa: F401

import framework_fastapi.worker  # noqa: F401
from framework.serving.http.metric_registry import FOLDER_VARIABLE
from framework_fastapi.served_pair import wait_and_prepare

wait_and_prepare(Path(os.environ[FOLDER_VARIABLE]))

# A signal to the whole group is for the workers, which answer what has arrived before they end.
# This process ends with the supervisor.
signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _may_be_stopped() -> None:
    """Let a copy be told to end from its first moment: a signal that came since is kept for it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


os.register_at_fork(
    before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
    after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}),
    after_in_child=_may_be_stopped,
)
# A collection would write to every page that holds an object, and a page that is written is shared
# no longer.
gc.freeze()
gc.enable()  # framework_fastapi.uncollected, which is imported first, has disabled it
