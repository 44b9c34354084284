"""Imported last by the process whose copies are the workers."""

from __future__ import annotations

import gc
import signal

import framework_fastapi.workers  # noqa: F401  # each worker uses it

# A signal to the whole group is for the workers, which answer what has arrived before they end.
# This process ends with the supervisor.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
# A collection would write to every page that holds an object, and a page that is written is shared
# no longer.
gc.freeze()
