"""The leak canary of features: what comes after an origin is made absurd, and what is computed up
to it must stay as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.data.frequency import Frequency
from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.features.engineering import Tables, engineer
from framework.features.operations import Join, Python
from framework.features.views import View

if TYPE_CHECKING:
    import pandas as pd

#: So many series are tried at an ingestion; a function treats all alike.
_TRIED = 20
#: Positive, so that a logarithm of a user's function still has a value.
_ABSURD = 1e9


def leaking_feature(
    view: View,
    rows: pd.DataFrame,
    frequency: Frequency,
    origin: np.datetime64,
    absurd: float,
    tables: Tables | None = None,
) -> str | None:
    """The first feature whose values at or before ``origin`` (UTC) change with the numbers after
    it, or None.

    ``rows``: as :func:`~framework.features.engineering.engineer` takes them. What ``tables`` hold
    after the origin becomes absurd too.
    """
    import pandas as pd

    after = rows[TIME] > pd.Timestamp(origin, tz="UTC")
    clean = rows.assign(**{c: rows[c].astype(np.float64) for c in view.numbers})
    changed = clean.assign(**{c: clean[c].mask(after, absurd) for c in view.numbers})
    later = {
        name: _absurd_table(view, name, table, origin, absurd)
        for name, table in (tables or {}).items()
    }
    one, two = (
        engineer(view, inputs, frequency, joined)[~after.to_numpy()]
        for inputs, joined in ((clean, tables), (changed, later))
    )
    return next((name for name in view.feature_names() if not one[name].equals(two[name])), None)


def refuse_leaking_functions(
    view: View, rows: pd.DataFrame, frequency: Frequency, tables: Tables
) -> None:
    """Try a view's own functions on some series, with an origin in their middle. Raises
    :class:`DataError` naming one that leaks.
    """
    functions = [op for op in view.engineer if isinstance(op, Python)]
    if not functions:
        return
    keys = list(view.entity)
    tried = rows.merge(rows[keys].drop_duplicates().head(_TRIED), on=keys) if keys else rows
    times = np.unique(tried[TIME].dt.tz_localize(None).to_numpy())
    if len(times) < 2:
        return
    origin = times[(len(times) - 1) // 2]
    leak = leaking_feature(view, tried, frequency, origin, _ABSURD, tables)
    for op in functions:
        if leak in op.names():
            raise DataError(
                f"features: op python: '{op.function}' looks ahead: '{leak}' at or before "
                f"{origin} changes with later rows; "
                "compute each row from its own series up to its own step."
            )


def _absurd_table(
    view: View, name: str, table: pd.DataFrame, origin: np.datetime64, absurd: float
) -> pd.DataFrame:
    import pandas as pd

    for op in view.engineer:
        if isinstance(op, Join) and op.table == name and op.time is not None:
            after = utc_times(
                table[op.time], f"join of '{op.table}': column '{op.time}'"
            ) > pd.Timestamp(origin, tz="UTC")
            columns = {
                c: table[c].mask(after, absurd)
                for c, n in zip(op.columns, op.names(), strict=True)
                if n not in view.categories
            }
            table = table.assign(**columns)
    return table
