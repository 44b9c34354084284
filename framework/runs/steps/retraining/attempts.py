"""The attempts to retrain, in a file: which alert may start one now, and how far one has come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from framework.errors import DataError
from framework.files import atomic_write
from framework.runs.options import RetrainOptions

UNFINISHED = ("started", "registered")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining.

    ``alert``: name, labels and since when, of what started it. ``change``: the estimated origin of
    the change, None where the alert is not about drift. ``status``: ``started``, ``registered``,
    then ``promoted``, ``refused`` or ``failed``. ``run_id``: of the run that trains, None before
    the training begins. ``newest``: the newest version of a pair at that time; what a run by a
    schedule registered for an earlier alert has the same ``run_id``. ``version`` and ``recent``:
    the candidates, of all rows and of those since the change. ``parameters``: the best ones of a
    search, None before it has ended.
    """

    alert: dict[str, Any]
    change: str | None
    started: str
    status: str
    run_id: str | None = None
    newest: int = 0
    version: int | None = None
    detail: str | None = None
    recent: int | None = None
    parameters: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        return _key(self.alert)

    @property
    def cause(self) -> dict[str, Any]:
        """Give what the history says of the alert."""
        return {**self.alert, "change": self.change}


@dataclass(slots=True)
class Progress:
    """One attempt and its place among the ``others`` in the file."""

    path: Path
    others: list[Attempt]
    attempt: Attempt

    def keep(self, **changed: Any) -> None:
        """Write the attempt as it is now, in the place of what was written of it."""
        self.attempt = replace(self.attempt, **changed)
        mark = (self.attempt.key, self.attempt.started)
        others = [one for one in self.others if (one.key, one.started) != mark]
        with atomic_write(self.path) as stream:
            stream.write(
                json.dumps([asdict(one) for one in (*others, self.attempt)], indent=1).encode()
            )


def read_attempts(path: Path) -> list[Attempt]:
    """Read the file.

    Raises:
        DataError: It is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [Attempt(**one) for one in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: no file of retrainings ({error}); move it away.") from error


def due(
    alerts: Sequence[Mapping[str, Any]], options: RetrainOptions, attempts: Sequence[Attempt]
) -> dict[str, Any] | None:
    """Find the first firing alert that may start a training and has started none. After those come
    the ones whose training failed.
    """
    states = {one.key: one.status for one in attempts}
    causes = [
        _cause(one) for one in alerts if one["state"] == "firing" and one["name"] in options.alerts
    ]
    for state in (None, "failed"):
        for cause in causes:
            if states.get(_key(cause)) == state:
                return cause
    return None


def still_needed(
    attempts: Sequence[Attempt],
    alerts: Sequence[Mapping[str, Any]],
    options: RetrainOptions,
    now: datetime,
) -> list[Attempt]:
    """Leave out the attempts that neither an alert nor a limit asks for any more."""
    known = {_key(_cause(alert)) for alert in alerts}
    oldest = now - max(options.cooldown, timedelta(days=1))
    return [
        one
        for one in attempts
        if one.status in UNFINISHED
        or one.key in known
        or datetime.fromisoformat(one.started) >= oldest
    ]


def held_until(options: RetrainOptions, attempts: Sequence[Attempt], now: datetime) -> str | None:
    """Say when the next training may begin, None for now."""
    times = sorted(datetime.fromisoformat(one.started) for one in attempts)
    waits = [times[-1] + options.cooldown] if times else []
    if len(times) >= options.per_day:
        waits.append(times[-options.per_day] + timedelta(days=1))
    until = max(waits, default=now)
    return None if until <= now else until.isoformat(timespec="seconds")


def begun(alert: dict[str, Any], change: str | None) -> Attempt:
    """Make the attempt that begins now."""
    return Attempt(alert, change, datetime.now(UTC).isoformat(timespec="seconds"), "started")


def _cause(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {key: alert[key] for key in ("name", "labels", "since")}


def _key(cause: Mapping[str, Any]) -> str:
    return json.dumps(cause, sort_keys=True)
