"""The domain of a target: forecasts keep to it, whatever the model says.

Every forecast passes :meth:`Domain.settle`, in a backtest, a golden batch, batch scoring and a
server, so that all of them answer the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from framework.data.arrays import Flags, Float64, Rows
from framework.data.schema import Schema


class Domain:
    """Bounds, states in which nothing happens, and whole numbers, as a schema declares them.

    Each of the three is monotone, so that quantiles stay in order and wider intervals contain
    narrower ones.
    """

    def __init__(self, schema: Schema) -> None:
        self._rules = [
            (schema.known.index(column), value) for column, value in schema.zero_when.items()
        ]
        bounds = [schema.bounds.get(name, (None, None)) for name in schema.targets]
        self._low, self._high = (
            np.array([limit if bound[end] is None else bound[end] for bound in bounds], np.float64)
            for end, limit in ((0, -np.inf), (1, np.inf))
        )
        self._bounded = bool(schema.bounds)
        self._whole = np.array([name in schema.rounded for name in schema.targets])
        self._low = np.where(self._whole, np.ceil(self._low), self._low)
        self._high = np.where(self._whole, np.floor(self._high), self._high)

    def ruled(self, known: Float64) -> Flags:
        """Mark the steps whose targets are 0 by a known state.

        Args:
            known: ``[n, H, K]``, the known columns as they are stored; an unknown value is no
                state.

        Returns:
            ``[n, H]``.
        """
        flags = np.zeros(known.shape[:2], dtype=bool)
        for place, value in self._rules:
            flags |= known[:, :, place] == value
        return flags

    def settle(self, values: Float64, known: Float64 | None) -> Float64:
        """Move forecasts into the domain.

        Args:
            values: ``[n, H, T, V]``: means, quantiles or ends of intervals. NaN stays.
            known: ``[n, H, K]``; None where the known states are not at hand.

        Returns:
            An array of that shape; ``values`` itself where nothing is declared.
        """
        values = self._limited(values, (slice(None), None))
        if self._rules and known is not None:
            is_ruled = self.ruled(known)[:, :, None, None] & np.isfinite(values)
            values = np.where(is_ruled, 0.0, values)
        return values

    def settle_steps(self, values: Float64, target: Rows) -> Float64:
        """Do the same to values of single steps, whose known states are not at hand.

        Args:
            values: ``[n]``.
            target: ``[n]``, the number of each one's target.

        Returns:
            ``[n]``.
        """
        return self._limited(values, target)

    def _limited(self, values: Float64, at: Any) -> Float64:
        if self._bounded:
            values = np.clip(values, self._low[at], self._high[at])
        if self._whole.any():
            values = np.where(self._whole[at], np.rint(values) + 0.0, values)  # no minus zero
        return values
