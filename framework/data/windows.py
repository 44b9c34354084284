"""Windows over a transformed panel: what a model is fitted on. Rows are stored once; windows are
gathered from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from framework.data.arrays import Flags, Float32, Float64, Objects, Rows, Times
from framework.data.scratch import IN_MEMORY, Scratch, blocks


@dataclass(frozen=True, slots=True)
class PanelArrays:
    """A panel after preprocessing; rows sorted by series, then time, without gaps inside a series.

    Series ``i`` has the rows ``offsets[i]:offsets[i + 1]``. ``unknown``: the static features that
    tell series apart, by place, as a series that is not among them has them; empty unless a pair
    forecasts cold windows.
    """

    offsets: Rows  # [series + 1]
    entities: Objects  # [series, E] str
    times: Times  # [rows]
    target: Float64  # [rows, T], natural units, NaN where unknown
    past: Float32  # [rows, F]
    future: Float32  # [rows, K'] known-in-advance features of the row's own step
    static: Float32  # [rows, S']
    past_names: tuple[str, ...]  # [F]
    unknown: Mapping[int, float] = field(default_factory=dict)
    scratch: Scratch = IN_MEMORY  # where its arrays are kept, and those that are made of it

    def series_ends(self) -> Rows:
        """Find where each row's series ends.

        Returns:
            ``[rows]``: one past the last row of each row's series.
        """
        return np.repeat(self.offsets[1:], np.diff(self.offsets))

    def series_starts(self) -> Rows:
        """Find where each row's series begins.

        Returns:
            ``[rows]``: the first row of each row's series.
        """
        return np.repeat(self.offsets[:-1], np.diff(self.offsets))

    def until(self, last: np.datetime64) -> PanelArrays:
        """Cut off what came later.

        Args:
            last: The last step that is kept.

        Returns:
            The rows up to and including ``last``. Series that begin later are gone.
        """
        return self._of_rows(self.times <= last)

    def of_series(self, series: Rows) -> PanelArrays:
        """Select series.

        Args:
            series: Their numbers, rising.

        Returns:
            The rows of these series.
        """
        number = np.repeat(np.arange(len(self.entities)), np.diff(self.offsets))
        return self._of_rows(np.isin(number, series))

    def _of_rows(self, keep: Flags) -> PanelArrays:
        """Keep some rows. Series without any are gone."""
        counts = np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64)
        alive, pick = counts > 0, self.scratch.picker(keep)
        return PanelArrays(
            np.concatenate([[0], np.cumsum(counts[alive])]).astype(np.int64),
            self.entities[alive],
            pick(self.times),
            pick(self.target),
            pick(self.past),
            pick(self.future),
            pick(self.static),
            self.past_names,
            self.unknown,
            self.scratch,
        )


@dataclass(frozen=True, slots=True)
class WindowSet:
    """Windows by the rows of their origins. Target steps after a series' last row are NaN, as are
    their future features.
    """

    arrays: PanelArrays
    origins: Rows  # [n], each with at least context_length - 1 rows of its series before it
    context_length: int
    horizon: int

    def __len__(self) -> int:
        return len(self.origins)

    def gather(self, start: int = 0, stop: int | None = None) -> Windows:
        """Gather windows from the rows.

        Args:
            start: The first window.
            stop: One past the last window; None: all that are left.

        Returns:
            The windows with their targets, as arrays.
        """
        origins = self.origins[start:stop]
        a = self.arrays
        back = origins[:, None] + np.arange(1 - self.context_length, 1)[None, :]
        ahead = origins[:, None] + np.arange(1, self.horizon + 1)[None, :]
        beyond = ahead >= self.ends(origins)[:, None]
        some_beyond = bool(beyond.any())
        if some_beyond:
            ahead[beyond] = 0
        target, future = a.target.take(ahead, axis=0), a.future.take(ahead, axis=0)
        if some_beyond:
            target[beyond], future[beyond] = np.nan, np.nan
        return Windows(
            a.target.take(back, axis=0),
            a.past.take(back, axis=0),
            future,
            a.static.take(origins, axis=0),
            target,
        )

    def ends(self, origins: Rows) -> Rows:
        """Find where the series of some origins end; a piece costs what it holds, not what the
        whole panel does.

        Args:
            origins: Rows.

        Returns:
            One past the last row of each one's series.
        """
        offsets = self.arrays.offsets
        return offsets[np.searchsorted(offsets, origins, side="right")]

    def reached(self, first: int, last: int) -> Flags:
        """Mark the rows that lie some steps after an origin, inside its series.

        Args:
            first: The nearest step, from 1.
            last: The farthest step.

        Returns:
            ``[rows]``.
        """
        flags = np.zeros(len(self.arrays.times), dtype=bool)
        for piece in blocks(len(self)):
            origins = self.origins[piece]
            begins = origins + first
            ends = np.minimum(origins + last + 1, self.ends(origins))
            low, high = int(begins.min()), int(ends.max())
            edges = np.zeros(high - low + 1, dtype=np.int64)
            np.add.at(edges, begins - low, 1)
            np.add.at(edges, ends - low, -1)
            flags[low:high] |= np.cumsum(edges[:-1]) > 0
        return flags

    def batches(self, size: int) -> Iterator[Windows]:
        """Gather the windows in pieces.

        Args:
            size: The most windows of a piece.

        Yields:
            The pieces, in order.
        """
        for start in range(0, len(self), size):
            yield self.gather(start, start + size)

    def joined(self, later: WindowSet) -> WindowSet:
        """Join these windows with later ones over longer rows.

        Target steps that were beyond the rows of these windows are known where ``later`` has them:
        what a refit on everything learns from.

        Args:
            later: Windows over rows whose series go on where the rows of these end.

        Returns:
            All windows, over the rows of ``later``.
        """
        series = {tuple(entity): i for i, entity in enumerate(later.arrays.entities)}
        shift = (
            np.array(
                [later.arrays.offsets[series[tuple(e)]] for e in self.arrays.entities],
                dtype=np.int64,
            )
            - self.arrays.offsets[:-1]
        )
        own = np.searchsorted(self.arrays.offsets, self.origins, side="right") - 1
        origins = np.union1d(self.origins + shift[own], later.origins)
        return WindowSet(later.arrays, origins, self.context_length, self.horizon)


@dataclass(frozen=True, slots=True)
class Windows:
    """A model's input, after preprocessing. ``target_past`` is in the targets' natural unit,
    untouched. ``entities``: whose windows they are, for a model that says ``by_series``; may be
    None for any other.
    """

    target_past: Float64  # [n, L, T]
    past: Float32  # [n, L, F]
    future: Float32  # [n, H, K']
    static: Float32  # [n, S']
    target: Float64 | None = None  # [n, H, T] in training; NaN where unknown
    entities: Objects | None = None  # [n, E] str

    def __len__(self) -> int:
        return len(self.past)

    def part(self, start: int, stop: int) -> Windows:
        """Select windows, without their targets.

        Args:
            start: The first window.
            stop: One past the last window.

        Returns:
            The windows.
        """
        return Windows(
            self.target_past[start:stop],
            self.past[start:stop],
            self.future[start:stop],
            self.static[start:stop],
            entities=None if self.entities is None else self.entities[start:stop],
        )
