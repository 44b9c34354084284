"""The canary's share: rises by schedule or by hand, falls to zero when it fails, and is one for all
processes of a machine.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import Any

from framework.data.forecast import Forecast
from framework.data.vocabulary import ERROR
from framework.files import atomic_write
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import hookimpl
from framework.serving.arms.arms import Arms
from framework.serving.options import CanaryOptions

log = logging.getLogger(__name__)


class Canary:
    """A canary, with its state in a file by the digest of the pair.

    Workers share the file, a restart goes on with it, and another pair begins with a new state.

    ``{"digest", "started", "share", "halted"}``: seconds since 1970; a share set by hand (null: the
    schedule's); why it fell to zero.
    """

    def __init__(self, options: CanaryOptions, arms: Arms, file: Path) -> None:
        self._options, self._arms, self._file = options, arms, file
        self._failed: deque[bool] = deque(maxlen=options.forecasts)
        self._lock = threading.Lock()
        self._state: dict[str, Any] | None = None
        self._halted_because: str | None = None

    @hookimpl
    def forecasts_served(self, arm: ServedArm, forecast: Forecast) -> None:
        self._observe(arm, [status == ERROR for status in forecast.status])

    @hookimpl
    def forecasts_failed(self, arm: ServedArm, request: ServedRequest) -> None:
        self._observe(arm, [True] * request.forecasts)

    def _observe(self, arm: ServedArm, failed: Sequence[bool]) -> None:
        """Count the forecasts of a request; too many failures take the canary's share at once."""
        with self._lock:
            alias, state = self._options.alias, self._state
            of_another = state is not None and state["digest"] != arm.pair.digest
            if (
                arm.name == alias
                and not arm.shadow
                and not of_another
                and self._halted_because is None
            ):
                self._count(alias, failed)

    def _count(self, alias: str, failed: Sequence[bool]) -> None:
        self._failed.extend(failed)
        if len(self._failed) == self._options.forecasts and sum(
            self._failed
        ) > self._options.max_errors * len(self._failed):
            self._halted_because = (
                f"{sum(self._failed)} of its last {len(self._failed)} forecasts failed"
            )
            self._arms.weigh(alias, 0)
            log.error("canary '%s': %s; its share is 0", alias, self._halted_because)

    def tick(self) -> None:
        """Give the canary the share that is its due now. Called again and again, not on the event
        loop.
        """
        alias = self._options.alias
        arm = self._arms.table.arms.get(alias) if alias is not None else None
        if alias is not None and arm is not None:
            with self._lock:
                self._follow(alias, arm.version.digest)

    def _follow(self, alias: str, digest: str) -> None:
        if self._state is not None and self._state["digest"] != digest:
            self._halted_because = None
            self._failed.clear()
        state = self._read(digest)
        if self._halted_because is not None and state["halted"] is None:
            state = self._write({**state, "halted": self._halted_because})
        self._state, self._halted_because = state, state["halted"]
        self._arms.weigh(alias, self._due(state))

    def set(self, share: float | None) -> dict[str, Any]:
        """Fix the share (None: back to the schedule), and lift a fall."""
        with self._lock:
            if self._state is not None and self._options.alias is not None:
                self._failed.clear()
                self._halted_because = None
                self._write({**self._state, "share": share, "halted": None})
                self._follow(self._options.alias, self._state["digest"])
        return self.shown()

    def shown(self) -> dict[str, Any]:
        """``{"alias", "share", "halted"}``, the share as it is now."""
        state = self._state
        if state is None:
            return {"alias": self._options.alias, "share": 0.0, "halted": None}
        share = 0.0 if self._halted_because is not None else self._due(state)
        return {"alias": self._options.alias, "share": share, "halted": state["halted"]}

    def _due(self, state: dict[str, Any]) -> float:
        if state["halted"] is not None:
            return 0.0
        if state["share"] is not None:
            return float(state["share"])
        steps = self._options.steps
        return float(
            steps[min(int((time() - state["started"]) / self._options.seconds), len(steps) - 1)]
        )

    def _read(self, digest: str) -> dict[str, Any]:
        if self._file.is_file():
            state: dict[str, Any] = json.loads(self._file.read_text())
            if state["digest"] == digest:
                return state
        return self._write({"digest": digest, "started": time(), "share": None, "halted": None})

    def _write(self, state: dict[str, Any]) -> dict[str, Any]:
        with atomic_write(self._file) as stream:
            stream.write(json.dumps(state).encode())
        return state
