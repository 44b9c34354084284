"""A search on disk: what it searches and each trial that ended, so that a killed one goes on.

``{state}/tune/{name}/{started}/`` holds ``study.json`` and ``trials.jsonl``, a line for each ended
trial, flushed to the disk before the next one is asked for. A search takes a lock on its folder:
two processes never write one file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, DataError, FrameworkError
from framework.files import exclusive
from framework.interfaces.tuner import DONE, Trial

if TYPE_CHECKING:
    import pandas as pd

STUDY, TRIALS = "study.json", "trials.jsonl"


class Study:
    """The trials of one search, in the order they ended."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trials: list[Trial] = self._read()
        self.resumed = len(self.trials)

    def add(self, trial: Trial) -> None:
        """Keep an ended trial."""
        line = json.dumps(asdict(trial), default=str)
        with (self.directory / TRIALS).open("a") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.trials.append(trial)

    def best(self) -> Trial:
        """The finished trial with the lowest value; the earliest of equal ones. Raises when there
        is none.
        """
        ready = [t for t in self.trials if t.status == DONE and t.value is not None]
        if not ready:
            errors = [trial.error for trial in self.trials if trial.error]
            raise FrameworkError(
                f"tune: none of {len(self.trials)} trials was "
                f"finished{f'; the last error: {errors[-1]}' if errors else ''}."
            )
        return min(ready, key=lambda trial: (trial.value, trial.number))

    def table(self) -> pd.DataFrame:
        """One row a trial: number, status, value, seconds, node, error, a column for each searched
        key, ``fold_1`` …
        """
        import pandas as pd

        rows = []
        for trial in self.trials:
            row: dict[str, Any] = {
                k: getattr(trial, k)
                for k in ("number", "status", "value", "seconds", "node", "error")
            }
            row |= {
                path: value if isinstance(value, str | int | float) else json.dumps(value)
                for path, value in trial.values.items()
            }
            row |= {f"fold_{i + 1}": value for i, value in enumerate(trial.folds)}
            rows.append(row)
        return pd.DataFrame(rows)

    def _read(self) -> list[Trial]:
        path = self.directory / TRIALS
        if not path.is_file():
            return []
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the process was killed while it wrote: that trial had not ended
            with path.open("r+b") as stream:
                stream.truncate(whole)
        try:
            lines = [json.loads(line) for line in data[:whole].splitlines()]
            return [Trial(**{**line, "folds": tuple(line["folds"])}) for line in lines]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: cannot be read ({error}); delete its folder and search anew "
                "without resume."
            ) from error


@contextmanager
def open_study(root: Path, searched: Mapping[str, Any], resume: bool) -> Iterator[Study]:
    """A new study below ``root``, or with ``resume`` the newest one, which must search the same
    (``searched``: plain JSON).
    """
    root.mkdir(parents=True, exist_ok=True)
    directory = (
        _newest(root, searched)
        if resume
        else root / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    )
    directory.mkdir(exist_ok=True)
    with exclusive(directory / "lock", f"resume: the search in {directory}", limit=0):
        if not resume:
            (directory / STUDY).write_text(json.dumps(searched, indent=1))
        yield Study(directory)


def _newest(root: Path, searched: Mapping[str, Any]) -> Path:
    folders = sorted(path.parent for path in root.glob(f"*/{STUDY}"))
    if not folders:
        raise ConfigError(f"resume: no search was begun in {root}; leave resume=true out.")
    before = json.loads((folders[-1] / STUDY).read_text())
    now = json.loads(json.dumps(searched))
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise ConfigError(
                f"resume: {key} is not that of the search in {folders[-1]}; set it back, or "
                "search anew without resume."
            )
    return folders[-1]
