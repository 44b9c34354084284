"""A Ray for the length of one run, shared by the plugins that search, backtest, sweep and serve on
it. Registers nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: No telemetry; of equal lines in logs all are shown; workers have the priority of any other
#: process (Ray's own is the lowest but four, at which a fit waits for all else on a busy machine).
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_worker_niceness": "0"}


def set_unset(environment: Mapping[str, str]) -> None:
    """Set what Ray reads when it is imported. Call before. What is set already is left as it is."""
    for key, value in environment.items():
        os.environ.setdefault(key, value)
