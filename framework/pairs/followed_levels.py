"""Levels that go on following the misses of what a pair has answered since it was trained.

The rule of :mod:`framework.pairs.adaptive_levels` (Gibbs & Candes 2021), with the intervals that
were served: an origin moves each level by the excess of its misses, a step at a time as its actual
comes. It is done at several paces side by side, and the widest counts: a slow one keeps what weeks
have taught, a fast one answers to a bad day. All of them move by the same misses, those that were
served, so the long-run excess of each is bounded, as that of one would be. Levels of different
nominal ones that cross are sorted (Chernozhukov, Fernandez-Val & Galichon 2010, "Quantile and
probability curves without crossing"). They are in one file of the pair's digest in the state
folder, so that all servers agree and a pair that comes back finds its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.errors import DataError
from framework.files import atomic_write
from framework.pairs.adaptive_levels import FOLLOWED
from framework.pairs.intervals import Calibration

#: Of the file. Until 2 ``start`` was of one pace.
FORMAT = 2
#: The shares of an origin's excess by which a level moves: that of the backtest's levels, doubled
#: until a day whose misses are a third above the nominal share takes the level to its highest.
PACES = 0.2 * 2.0 ** np.arange(5)
#: Above this horizon paces are slower in proportion: an excess is known only after its steps, and
#: meanwhile other origins answer with the levels of before, so all of them together would swing.
FULL_PACE = 7
#: Times of actuals whose excess can still change; the levels that older ones led to are kept.
TIMES = 500
#: Versions that are kept, for what was served with them.
VERSIONS = 1000


def paces_of(horizon: int) -> Float64:
    """Say by which shares of its excess an origin moves a level."""
    return np.asarray(PACES * min(1.0, FULL_PACE / horizon))


def at_each_pace(levels: Float64) -> Float64:
    """Begin at every pace ``[P, T, L]`` with levels ``[T, L]``."""
    return np.repeat(levels[None], len(PACES), axis=0)


def levels_path(state: Path, name: str, digest: str) -> Path:
    """Name the file of a pair's levels."""
    return state / "levels" / f"{name}.{digest[:16]}.json"


def moved(levels: Float64, excess: Float64, horizon: int) -> Float64:
    """Move the levels of each pace ``[P, T, L]`` by the excess ``[T, L]`` of a time."""
    change = 100 * paces_of(horizon)[:, None, None] * excess
    return np.clip(levels + change, 0.0, 100.0)


def widest(levels: Float64) -> Float64:
    """Give the levels ``[T, L]`` to use, rising, of those of each pace ``[P, T, L]``."""
    return np.sort(levels.max(axis=0), axis=-1)


@dataclass(frozen=True)
class FollowedLevels:
    """``versions``: by number, from 1, the levels ``[T, L]`` of each target and of
    :data:`~framework.pairs.adaptive_levels.FOLLOWED`; the last is in use. ``excess``: by the
    time of the actuals (ISO 8601, UTC). ``start``: the levels of each pace ``[P, T, L]`` before
    the first of them, None for the pair's own, and ``closed``: the newest time that is in it.
    ``first``: the oldest origin that was counted, empty where an earlier version wrote the file.
    """

    digest: str
    versions: Mapping[int, Float64] = field(default_factory=dict)
    excess: Mapping[str, Float64] = field(default_factory=dict)
    start: Float64 | None = None
    closed: str = ""
    first: str = ""

    @cached_property
    def version(self) -> int:
        """The number of the levels in use; 0 for the pair's own."""
        return max(self.versions, default=0)

    def of(self, calibration: Calibration, version: int | None = None) -> Calibration:
        """Give a pair's own calibration the levels of a version, None for those in use.

        Raises:
            DataError: There is no such version.
        """
        number = self.version if version is None else version
        if number == 0:
            return calibration
        if number not in self.versions:
            raise DataError(f"the levels of version {number} are unknown")
        return replace(calibration, used=self.versions[number], version=number)

    def after(
        self,
        own: Float64,
        excess: Mapping[str, Float64],
        horizon: int,
        first: str = "",
        whole: str = "",
    ) -> FollowedLevels:
        """Follow what is known of the excess now.

        Args:
            own: ``[T, L]``, the pair's own levels.
            excess: By time ``[T, L]``; a time that is known already is replaced, as late and
                corrected actuals change it.
            horizon: Of the pair.
            first: The oldest origin that ``excess`` is of.
            whole: The oldest time that all origins since ``first`` can have forecast. Where origins
                before ``first`` were counted already, a known time before this one stays: there is
                only a part of it.

        Returns:
            The levels with a new version, or those of before where nothing has changed.
        """
        partial = first > self.first > ""
        new = {
            time: one
            for time, one in excess.items()
            if time > self.closed and not (partial and time in self.excess and time < whole)
        }
        known = dict(sorted({**self.excess, **new}.items()))
        start, closed = at_each_pace(own) if self.start is None else self.start, self.closed
        for time in list(known)[:-TIMES]:
            start, closed = moved(start, known.pop(time), horizon), time
        at_paces = start
        for one in known.values():
            at_paces = moved(at_paces, one, horizon)
        levels = widest(at_paces)
        before = self.versions.get(self.version, own)
        changed = not np.array_equal(levels, before)
        versions = {**self.versions, self.version + 1: levels} if changed else self.versions
        versions = dict(sorted(versions.items())[-VERSIONS:])
        oldest = min(filter(None, (self.first, first)), default="")
        return FollowedLevels(self.digest, versions, known, start, closed, oldest)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        content = {
            "format": FORMAT,
            "digest": self.digest,
            "version": self.version,
            "levels": FOLLOWED.tolist(),
            "versions": {str(n): one.tolist() for n, one in self.versions.items()},
            "excess": {time: one.tolist() for time, one in self.excess.items()},
            "start": None if self.start is None else self.start.tolist(),
            "closed": self.closed,
            "first": self.first,
        }
        with atomic_write(path, durable=True) as stream:
            stream.write(json.dumps(content).encode())


def read_levels(path: Path, digest: str, targets: int) -> FollowedLevels:
    """Read the levels of a pair.

    Args:
        path: The file; without it they are the pair's own.
        digest: Of the pair.
        targets: How many it has.

    Raises:
        DataError: The file is damaged, of another pair or of another format.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return FollowedLevels(digest)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    advice = "; repair it, or remove it for the levels of the pair"
    try:
        content = json.loads(data)
        if content["format"] not in (1, FORMAT) or content["levels"] != FOLLOWED.tolist():
            raise DataError(f"{path} has another format than {FORMAT}{advice}")
        versions = {
            int(number): _levels(one, targets) for number, one in content["versions"].items()
        }
        excess = {time: _rows(one, targets) for time, one in content["excess"].items()}
        start = _start(content["start"], content["format"], targets)
        texts: dict[str, str] = {key: content[key] for key in ("digest", "closed")}
        texts["first"] = content.get("first", "")
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError(f"no text in {texts}")
        levels = FollowedLevels(versions=versions, excess=excess, start=start, **texts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error!r}{advice}") from error
    if levels.digest != digest:
        raise DataError(f"{path} is of the pair {levels.digest[:12]}, not {digest[:12]}{advice}")
    return levels


def _levels(rows: list[list[float]], targets: int) -> Float64:
    levels = _rows(rows, targets)
    if (levels < 0).any() or (levels > 100).any() or (np.diff(levels) < 0).any():
        raise ValueError("levels do not rise from 0 to 100")
    return levels


def _start(values: Any, number: int, targets: int) -> Float64 | None:
    if values is None:
        return None
    if number == 1:
        return at_each_pace(_levels(values, targets))
    levels = np.stack([_rows(rows, targets) for rows in values])
    if len(levels) != len(PACES) or (levels < 0).any() or (levels > 100).any():
        raise ValueError("levels of other paces, or outside 0 to 100")
    return levels


def _rows(rows: list[list[float]], targets: int) -> Float64:
    values = np.array(rows, dtype=np.float64)
    if values.shape != (targets, len(FOLLOWED)) or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape}")
    return values
