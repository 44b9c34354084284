"""Versions of finished rows: what a view's features were when each of its rows became known.

A late or corrected row changes the features of later steps too. Each row that it changes becomes a
new version, created when the late or corrected row was; what had been stored stays, so that a
backtest can ask for what was known then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from framework.data.grouping import series_numbers
from framework.data.vocabulary import TIME
from framework.features.views import INSERTED, View

if TYPE_CHECKING:
    import pandas as pd

_PLACE = "\x00place"


def versions(
    view: View, created: str, inputs: pd.DataFrame, finish: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """Every version of the finished rows, sorted by identity.

    ``inputs``: raw versions, no identity twice. ``finish``: raw rows, one for each key and time, to
    finished ones. It is called once for rows that come in the order of their times, and twice for
    each moment at which a late or corrected one became known.
    """
    import pandas as pd

    row = [*view.entity, TIME]
    inputs = _news(view, inputs.sort_values([created, *row], kind="stable"))
    tables: list[pd.DataFrame] = []
    before: pd.DataFrame | None = None
    for known, moment in _states(view, created, inputs):
        newest = known.drop_duplicates(row, keep="last")
        finished_rows = finish(newest)
        changed = (
            finished_rows if before is None else finished_rows[differs(finished_rows, before, row)]
        )
        tables.append(
            changed.assign(
                **{created: _created(view, created, changed, newest) if moment is None else moment}
            )
        )
        before = finished_rows
    columns = [*view.identity(), *view.feature_names(), INSERTED]
    return pd.concat(tables, ignore_index=True)[columns].sort_values(
        list(view.identity()), kind="stable", ignore_index=True
    )


def _states(
    view: View, created: str, inputs: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.Timestamp | None]]:
    """Yield the rows known just before and at each moment that changed the past, with that moment;
    and at the end.
    """
    top = inputs.groupby(series_numbers(view.entity, inputs)[0])[TIME].transform(
        lambda times: times.cummax().shift()
    )
    for moment in sorted(inputs[created][inputs[TIME] <= top].unique()):
        earlier = inputs[inputs[created] < moment]
        if len(earlier):
            yield earlier, None
        yield inputs[inputs[created] <= moment], moment
    yield inputs, None


def _news(view: View, inputs: pd.DataFrame) -> pd.DataFrame:
    """Without the versions that say what the one before said: such a one was stored because its
    features had changed.
    """
    row = [*view.entity, TIME]
    before = inputs.groupby(row, sort=False)[list(view.columns)].shift()
    repeats = inputs.duplicated(row).to_numpy()
    for column in view.columns:
        now, then = inputs[column].to_numpy(), before[column].to_numpy()
        repeats &= equal(now, then)
    return inputs[~repeats]


def _created(
    view: View, created: str, rows: pd.DataFrame, newest: pd.DataFrame
) -> npt.NDArray[np.object_]:
    """Of rows that came in order: when their raw row was; of one that fills a gap, when the next
    one of its series was.
    """
    row = [*view.entity, TIME]
    matches = rows[row].merge(newest[[*row, created]], how="left", on=row)
    return matches.groupby(series_numbers(view.entity, matches)[0])[created].bfill().array  # type: ignore[no-any-return]


def differs(
    finished_rows: pd.DataFrame, stored_rows: pd.DataFrame, identity: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """``[finished]``: whether there is no stored row of that identity with the same values, null
    equal to null.
    """
    if not len(stored_rows):
        return np.ones(len(finished_rows), dtype=bool)
    places = stored_rows[list(identity)].assign(**{_PLACE: np.arange(len(stored_rows))})
    place = (
        finished_rows[list(identity)]
        .merge(places, how="left", on=list(identity))[_PLACE]
        .to_numpy(dtype=np.float64)
    )
    new: npt.NDArray[np.bool_] = np.isnan(place)
    at = np.where(new, 0, place).astype(np.int64)
    different = new.copy()
    for column in (c for c in finished_rows.columns if c not in identity):
        different |= ~equal(finished_rows[column].to_numpy(), stored_rows[column].to_numpy()[at])
    return different


def equal(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Element by element, null equal to null."""
    import pandas as pd

    same: npt.NDArray[np.bool_] = (one == other) | (pd.isna(one) & pd.isna(other))
    return same
