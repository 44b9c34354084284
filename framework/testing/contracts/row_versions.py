"""The part of the contract of retrieval strategies that is about versions of a row: what was known
when. :class:`framework.testing.contracts.retrieval.RetrievalContract` holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import RetrievalStrategy

_DAY = timedelta(days=1)
_FIRST = datetime(2024, 3, 8, tzinfo=UTC)
#: Each row becomes known half a day after its time; the first is corrected on the fourth day.
VERSIONED = FeatureSet.model_validate(
    {
        "primary": "meter",
        "views": {
            "meter": {"entity": ["shop"], "columns": ["y"], "ttl": "1d", "created": "seen"},
            "quote": {"entity": ["shop"], "columns": ["price"], "ttl": "9d", "created": "seen"},
        },
    }
)


def meter() -> pd.DataFrame:
    """Make three days of one shop, and the correction of the first.

    Returns:
        Rows of the view ``meter``: ``y`` is the number of the day, 100 after the correction.
    """
    days = [(0, 0.5, 0.0), (1, 1.5, 1.0), (2, 2.5, 2.0), (0, 4.0, 100.0)]
    return pd.DataFrame(
        [
            {"shop": "a", TIME: _FIRST + day * _DAY, "seen": _FIRST + known * _DAY, "y": y}
            for day, known, y in days
        ]
    )


def quote() -> pd.DataFrame:
    """Make one price, and its correction.

    Returns:
        Rows of the view ``quote``: 5, and 6 from the third day on.
    """
    times = {"shop": "a", TIME: [_FIRST, _FIRST]}
    return pd.DataFrame({**times, "seen": [_FIRST, _FIRST + 3 * _DAY], "price": [5.0, 6.0]})


class RowVersionsContract:
    """The promises of every strategy about views with a ``created`` column."""

    def known(
        self, strategy: RetrievalStrategy, days: float | None
    ) -> list[tuple[float, float | None]]:
        """Read what was known so many days after the first.

        Args:
            strategy: The filled strategy.
            days: How many; None: what is known now.

        Returns:
            ``y`` and ``price`` of each row.
        """
        at = None if days is None else _FIRST + days * _DAY
        rows = strategy.training_rows(VERSIONED, ["y", "price"], at)
        prices = [None if pd.isna(price) else float(price) for price in rows["price"]]
        return list(zip(rows["y"].astype(float), prices, strict=True))

    def test_rows_are_read_as_they_were_known(self, strategy: RetrievalStrategy) -> None:
        strategy.ingest(VERSIONED, "meter", meter())
        strategy.ingest(VERSIONED, "quote", quote())
        for days, expected in (
            (None, [(100.0, 6.0), (1.0, 6.0), (2.0, 6.0)]),
            (4.0, [(100.0, 6.0), (1.0, 6.0), (2.0, 6.0)]),
            (3.9, [(0.0, 6.0), (1.0, 6.0), (2.0, 6.0)]),
            (1.5, [(0.0, 5.0), (1.0, 5.0)]),
            (0.4, []),
        ):
            actual = self.known(strategy, days)
            moment = "now" if days is None else f"{days} days after the first row"
            assert actual == expected, (
                f"training_rows as known {moment} gives {actual} of (y, price), not {expected}: "
                "of a row's versions the newest one created at or before that time counts, in "
                "every view, and a row without one is absent."
            )
        early = strategy.view_rows(VERSIONED, "meter", ["y"], _FIRST + 1.5 * _DAY)
        values = early.column("y").to_pylist()
        assert values == [0.0, 1.0], (
            f"view_rows as known after a day and a half gives {values}, not [0.0, 1.0]."
        )

    def test_every_version_stays_stored(self, strategy: RetrievalStrategy) -> None:
        for part in (meter().iloc[:3], meter().iloc[3:]):
            strategy.ingest(VERSIONED, "meter", part)
        rows = strategy.stored_rows(VERSIONED, "meter")
        values = rows["y"].tolist()
        assert values == [0.0, 100.0, 1.0, 2.0], (
            f"stored_rows of a view with a created column gives {values} of y, not every version "
            "[0.0, 100.0, 1.0, 2.0], sorted by key, time and created: a correction replaced what "
            "it corrects, so a backtest would know it too early."
        )
