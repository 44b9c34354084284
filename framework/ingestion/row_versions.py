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
    view: View, created: str, given: pd.DataFrame, finish: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """Every version of the finished rows, sorted by identity.

    ``given``: raw versions, no identity twice. ``finish``: raw rows, one for each key and time, to
    finished ones. It is called once for rows that come in the order of their times, and twice for
    each moment at which a late or corrected one became known.
    """
    import pandas as pd

    row = [*view.entity, TIME]
    given = _news(view, given.sort_values([created, *row], kind="stable"))
    made: list[pd.DataFrame] = []
    before: pd.DataFrame | None = None
    for known, moment in _states(view, created, given):
        newest = known.drop_duplicates(row, keep="last")
        finished = finish(newest)
        changed = finished if before is None else finished[differs(finished, before, row)]
        made.append(
            changed.assign(
                **{created: _created(view, created, changed, newest) if moment is None else moment}
            )
        )
        before = finished
    columns = [*view.identity(), *view.feature_names(), INSERTED]
    return pd.concat(made, ignore_index=True)[columns].sort_values(
        list(view.identity()), kind="stable", ignore_index=True
    )


def _states(
    view: View, created: str, given: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.Timestamp | None]]:
    """What was known just before and at each moment that changed the past, with that moment; and at
    the end.
    """
    top = given.groupby(series_numbers(view.entity, given)[0])[TIME].transform(
        lambda times: times.cummax().shift()
    )
    for moment in sorted(given[created][given[TIME] <= top].unique()):
        earlier = given[given[created] < moment]
        if len(earlier):
            yield earlier, None
        yield given[given[created] <= moment], moment
    yield given, None


def _news(view: View, given: pd.DataFrame) -> pd.DataFrame:
    """Without the versions that say what the one before said: such a one was stored because its
    features had changed.
    """
    row = [*view.entity, TIME]
    before = given.groupby(row, sort=False)[list(view.columns)].shift()
    again = given.duplicated(row).to_numpy()
    for column in view.columns:
        now, then = given[column].to_numpy(), before[column].to_numpy()
        again &= equal(now, then)
    return given[~again]


def _created(
    view: View, created: str, rows: pd.DataFrame, newest: pd.DataFrame
) -> npt.NDArray[np.object_]:
    """Of rows that came in order: when their raw row was; of one that fills a gap, when the next
    one of its series was.
    """
    row = [*view.entity, TIME]
    found = rows[row].merge(newest[[*row, created]], how="left", on=row)
    return found.groupby(series_numbers(view.entity, found)[0])[created].bfill().array  # type: ignore[no-any-return]


def differs(
    finished: pd.DataFrame, stored: pd.DataFrame, identity: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """``[finished]``: whether there is no stored row of that identity with the same values, null
    equal to null.
    """
    if not len(stored):
        return np.ones(len(finished), dtype=bool)
    places = stored[list(identity)].assign(**{_PLACE: np.arange(len(stored))})
    place = (
        finished[list(identity)]
        .merge(places, how="left", on=list(identity))[_PLACE]
        .to_numpy(dtype=np.float64)
    )
    new: npt.NDArray[np.bool_] = np.isnan(place)
    at = np.where(new, 0, place).astype(np.int64)
    different = new.copy()
    for column in (c for c in finished.columns if c not in identity):
        different |= ~equal(finished[column].to_numpy(), stored[column].to_numpy()[at])
    return different


def equal(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Element by element, null equal to null."""
    import pandas as pd

    same: npt.NDArray[np.bool_] = (one == other) | (pd.isna(one) & pd.isna(other))
    return same
