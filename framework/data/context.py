"""The input of a forecast, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Float64, Objects, Times


def begun(past: Float64) -> Flags:
    """Find the steps of windows from the first one on that holds anything.

    Args:
        past: ``[n, L, P]``, NaN where null.

    Returns:
        ``[n, L]``; a series that is younger than its window begins later than the window.
    """
    return np.logical_or.accumulate(~np.isnan(past).all(axis=2), axis=1)


@dataclass(frozen=True, slots=True)
class Freshness:
    """The row of each view that describes a looked-up window. ``times[view]``: its
    ``event_timestamp``, NaT for none.

    ``stale[view]``: it is older than the view's ttl allows; a forecast from it is made only where
    the policy is to flag it.
    """

    times: dict[str, Times]  # [n]
    stale: dict[str, Flags]  # [n]

    def take(self, index: npt.NDArray[np.int64]) -> Freshness:
        """Select windows.

        Args:
            index: Their numbers.

        Returns:
            These windows, in that order.
        """
        return Freshness(
            {v: t[index] for v, t in self.times.items()},
            {v: s[index] for v, s in self.stale.items()},
        )


@dataclass(frozen=True, slots=True)
class Context:
    """The input of a forecast: per window, the last L steps that end at its origin.

    A window whose ``status`` is not ``ok`` has undefined values and gets no forecast. ``levels``:
    the prediction intervals that are asked for, in per cent. ``freshness``: None where nothing was
    looked up. ``horizon``: the steps that are asked for, None for all. ``unseen``: by category, in
    how many windows its value was not seen in training; None until somebody has looked.
    """

    origins: Times  # [n]
    past: Float64  # [n, L, P], NaN where null; columns as Schema.past
    known: Float64  # [n, H, K]; columns as Schema.known
    # [n, S] str; columns as Schema.static, entity keys first; None for a null category
    static: Objects
    status: list[str]  # [n], one of the status words above
    detail: list[str | None]  # [n], why a status is not ok
    levels: tuple[float, ...] = ()
    freshness: Freshness | None = None
    horizon: int | None = None
    unseen: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.status)

    def take(self, index: npt.NDArray[np.int64]) -> Context:
        """Select windows.

        Args:
            index: Their numbers.

        Returns:
            These windows, in that order.
        """
        return Context(
            self.origins[index],
            self.past[index],
            self.known[index],
            self.static[index],
            [self.status[i] for i in index],
            [self.detail[i] for i in index],
            self.levels,
            None if self.freshness is None else self.freshness.take(index),
            self.horizon,
        )
