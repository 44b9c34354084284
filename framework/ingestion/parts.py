"""The parts of a table that are stored together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framework.data.grouping import entities_of
from framework.features.views import View
from framework.ingestion.merging import Merged

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True)
class Parts:
    """The parts so far. ``store``: takes finished rows and says how many they are. ``lost``: the
    stored rows that the source no longer has, and ``gone``: those that are to be removed, of the
    series of each part.
    """

    view: View
    store: Callable[[pd.DataFrame], int]
    lost: list[pd.DataFrame] = field(default_factory=list)
    gone: list[pd.DataFrame] = field(default_factory=list)
    series: list[pd.DataFrame] = field(default_factory=list)

    def add(self, rows: pd.DataFrame, result: Merged) -> int:
        """Store a part.

        Args:
            rows: Its rows.
            result: What was made of them.

        Returns:
            How many rows are new or have changed.
        """
        self.series.append(entities_of(self.view.entity, rows))
        if result.lost is not None and len(result.lost):
            self.lost.append(result.lost)
        if result.gone is not None and len(result.gone):
            self.gone.append(result.gone)
        return self.store(result.changed)

    def absent_series(self, entities: pd.DataFrame) -> pd.DataFrame:
        """Find the series that no part had.

        Args:
            entities: The keys of every stored series.

        Returns:
            The keys of those that the parts did not bring.
        """
        import pandas as pd

        keys = list(self.view.entity)
        known = pd.MultiIndex.from_frame(pd.concat(self.series)[keys].astype(str))
        return entities[~pd.MultiIndex.from_frame(entities[keys].astype(str)).isin(known)]

    def to_remove(self, rows: pd.DataFrame) -> pd.DataFrame:
        """List what is to be removed.

        Args:
            rows: The stored rows of the series that no part had.

        Returns:
            The identities of those, and of the rows that parts no longer have.
        """
        import pandas as pd

        identity = list(self.view.identity())
        return pd.concat([*(one[identity] for one in self.gone), rows[identity]])
