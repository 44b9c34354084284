"""The columns that are made of a target: the history of a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.data.arrays import Rows

#: What the operations of feature engineering call a column that they make of another one.
_MADE = ("lag", "rolling", "expanding", "difference", "relative_difference")


def own_columns(targets: Sequence[str], names: Sequence[str]) -> tuple[Rows, ...]:
    """Find the targets' own values among columns.

    Args:
        targets: The targets.
        names: The columns.

    Returns:
        For each target the places among ``names`` of the target itself and of the columns that are
        made of it.
    """

    def places(target: str) -> Rows:
        prefixes = tuple(f"{target}_{operation}_" for operation in _MADE)
        return np.array(
            [i for i, name in enumerate(names) if name == target or name.startswith(prefixes)],
            dtype=np.int64,
        )

    return tuple(places(target) for target in targets)
