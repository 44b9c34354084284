"""The columns known in advance, with their own past.

Chronos-2 reads from a series' past how its target answered to a column. A context has such a column
for the steps ahead only, so its past comes from a past feature with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.windows import PanelArrays
from framework.errors import ConfigError, DataError, suggest

#: The least correlation of a column with the past feature that is said to hold its values.
SAME = 0.99


@dataclass(frozen=True, slots=True)
class KnownColumns:
    """By known column that has a past: the place of the past feature and of the future feature, and
    what brings the past feature to the future feature's unit.
    """

    past: tuple[int, ...]
    future: tuple[int, ...]
    factor: tuple[float, ...]
    shift: tuple[float, ...]

    @staticmethod
    def check(
        history: Mapping[str, str], known: tuple[str, ...], past_names: tuple[str, ...]
    ) -> None:
        """Check the option ``history`` by the names alone.

        Args:
            history: The option.
            known: The columns known in advance.
            past_names: The past features.

        Raises:
            ConfigError: It names a column or a feature that does not exist.
        """
        for column, feature in history.items():
            if column not in known:
                raise ConfigError(
                    f"model.history: '{column}' is not in panel.known; it has {list(known)}."
                )
            if feature not in past_names:
                raise ConfigError(
                    f"model.history.{column}: there is no past feature '{feature}';"
                    f"{suggest(feature, past_names)} Known: {list(past_names)}."
                )

    @classmethod
    def fit(cls, history: Mapping[str, str], arrays: PanelArrays, known: tuple[str, ...]) -> Self:
        """Find the features of each column and compare their values.

        The preprocessor keeps the order of the known columns and adds features after them.

        Args:
            history: The option.
            arrays: The rows that may be learned from.
            known: The columns known in advance.

        Returns:
            What :meth:`apply` needs.

        Raises:
            ConfigError: The past feature of a column does not have the column's values.
            DataError: A column never changes in these rows.
        """
        places: list[tuple[int, int, float, float]] = []
        for column, feature in history.items():
            past, future = arrays.past_names.index(feature), known.index(column)
            observed = arrays.past[:, past].astype(np.float64)
            plan = arrays.future[:, future].astype(np.float64)
            usable = np.isfinite(observed) & np.isfinite(plan)
            observed, plan = observed[usable], plan[usable]
            if not len(observed) or not observed.std() or not plan.std():
                raise DataError(
                    f"model.history.{column}: '{column}' never changes in the rows to learn from; "
                    "leave it out of model.history."
                )
            correlation = float(np.corrcoef(observed, plan)[0, 1])
            if not correlation >= SAME:
                raise ConfigError(
                    f"model.history.{column}: the past feature '{feature}' does not have the "
                    f"values of '{column}' (their correlation is {correlation:.2f}); name a copy "
                    "of the column, one row for the same step."
                )
            factor = float(plan.std() / observed.std())
            places.append((past, future, factor, float(plan.mean() - factor * observed.mean())))
        columns = zip(*places, strict=True) if places else ((), (), (), ())
        return cls(*(tuple(values) for values in columns))

    def apply(self, past: Float32, future: Float32) -> tuple[Float64, Float64]:
        """Take the columns of one window.

        Args:
            past: ``[L, F]`` past features.
            future: ``[H, K]`` features of the steps ahead.

        Returns:
            ``[L, columns]`` and ``[H, columns]`` in one unit.
        """
        observed = past[:, list(self.past)].astype(np.float64) * self.factor + self.shift
        return observed, future[:, list(self.future)].astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(**{name: tuple(values) for name, values in body.items()})
