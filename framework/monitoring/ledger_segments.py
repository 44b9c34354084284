"""The files of a ledger: segments of forecasts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_NAME = re.compile(r"(?P<process>.+)\.(?P<first>\d+)-(?P<after>\d+)-(?P<lost>\d+)\.parquet")
#: The number of the form of a segment, in the metadata of its schema. Without it the form is 1.
FORMAT_KEY, FORMAT = b"framework.format", 1
#: Where the segments of a ledger are.
SEGMENTS = "????-??-??/*.parquet"


def folder_of(state: Path, name: str) -> Path:
    """The folder of a pair's ledger."""
    return state / "serving" / "ledger" / name


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of forecasts, as its name says."""

    path: Path
    process: str
    first: int
    after: int
    lost: int

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Read a name, None when it is no segment's."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        return cls(path, match["process"], *(int(match[k]) for k in ("first", "after", "lost")))

    def is_within(self, other: Segment) -> bool:
        """Say whether all that this one accounts for was merged into another."""
        return (
            self.path != other.path
            and self.process == other.process
            and other.first <= self.first
            and self.after <= other.after
        )

    @classmethod
    def name(cls, process: str, first: int, after: int, lost: int) -> str:
        """The name of a segment, which sorts by what it accounts for."""
        return f"{process}.{first:012d}-{after:012d}-{lost}.parquet"


def segments(folder: Path) -> list[Segment]:
    """The segments of a ledger, oldest first, without those that were merged into others."""
    return covering_segments(folder.glob(SEGMENTS))


def covering_segments(paths: Iterable[Path]) -> list[Segment]:
    """:func:`segments` of these files."""
    parsed = [Segment.parse(path) for path in paths]
    known = [segment for segment in parsed if segment is not None]
    covering: list[Segment] = []
    for segment in sorted(known, key=lambda s: (s.process, s.first, -s.after)):
        last = covering[-1] if covering else None
        if last is None or last.process != segment.process or segment.after > last.after:
            covering.append(segment)
    return sorted(covering, key=lambda s: (s.path.parent.name, s.path.name))
