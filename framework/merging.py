"""New raw rows and stored ones to finished rows: the same whether rows came at once or in pieces, in order or late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from framework.canonical_text import category_texts, key_texts
from framework.corrections import differs, versions
from framework.engineering import Tables, engineer
from framework.errors import DataError, suggest
from framework.frequency import Frequency
from framework.interfaces.values import TIME
from framework.interfaces.views import GapPolicy, View
from framework.leaks import refuse_leaking_functions
from framework.panel import panel_from_rows
from framework.utc import utc_times

if TYPE_CHECKING:
    import pandas as pd

#: 1 in the rows that the source gave, null in those inserted for the steps in between. No column of a view has this name.
_GIVEN = "\x00given"


@dataclass(frozen=True, slots=True)
class Merged:
    """``changed``: the finished rows that are new or differ from what is stored. ``affected``: those that new rows could have changed."""

    changed: pd.DataFrame
    affected: pd.DataFrame


def check_whole(view: View, rows: pd.DataFrame, frequency: Frequency, gaps: GapPolicy) -> None:
    """Raise :class:`DataError` unless a whole table is sorted, unique, on the grid and, by the policy, without gaps.

    ``rows``: as :func:`normal` gives them. Of a view with a created column the newest versions are checked, in whatever order they come.
    """
    if view.created is not None:
        rows = rows.sort_values(list(view.identity()), kind="stable").drop_duplicates([*view.entity, TIME], keep="last")
    panel_from_rows(rows, entity_keys=view.entity, past=view.numbers, known=(), categories=view.texts, frequency=frequency, gaps=gaps)


def normal(name: str, view: View, rows: pd.DataFrame) -> pd.DataFrame:
    """The view's raw columns with canonical texts and times in UTC, as they are stored. Raises :class:`DataError` for what is missing."""
    wanted = [*view.identity(), *view.columns]
    missing = [c for c in wanted if c not in rows.columns]
    if missing:
        have = list(map(str, rows.columns))
        hint = suggest(missing[0], have)
        raise DataError(f"view '{name}': missing columns {missing};{hint} The source gives {have}: select or rename them there.")
    empty = [c for c in view.identity() if rows[c].isna().any()]
    if empty:
        raise DataError(f"view '{name}': null in {empty}; every row needs its keys and its time.")
    made = rows[wanted].assign(**{key: key_texts(rows[key], f"view '{name}'") for key in view.entity})
    for column in view.texts:
        try:
            made[column] = category_texts(rows[column])
        except DataError as error:
            raise DataError(f"view '{name}': {error}.") from None
    for column in view.identity()[len(view.entity) :]:
        made[column] = utc_times(rows[column], f"view '{name}': column '{column}'")
    for column in view.numbers:
        try:
            made[column] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(f"view '{name}': column '{column}' is not numeric ({error}); mend it or list it under categories.") from error
        infinite = np.isinf(made[column].to_numpy())
        if infinite.any():
            row = made.loc[infinite, [*view.entity, TIME]].iloc[0].to_dict()
            raise DataError(
                f"view '{name}': column '{column}' is infinite in {infinite.sum():,} rows, first at {row}; mend it, or make it null."
            )
    return made


def merge(view: View, stored: pd.DataFrame, rows: pd.DataFrame, frequency: Frequency, gaps: GapPolicy, tables: Tables) -> Merged:
    """Finished rows of the series that ``rows`` and ``stored`` hold.

    ``rows``: as :func:`normal` gives them; of equal identity the last counts, and replaces a stored one. ``stored``: every stored row
    of those series. Missing steps are filled with nulls while features are computed; they stay with ``gaps="insert"``.
    """
    import pandas as pd

    raw = [*view.identity(), *view.columns]
    held = stored[raw][~_inserted(view, stored)] if gaps == "insert" and view.created is None else stored[raw]
    parts = [part for part in (held, rows[raw]) if len(part)]
    if not parts:
        return Merged(stored, stored)
    given = pd.concat(parts, ignore_index=True).drop_duplicates(list(view.identity()), keep="last")

    def finish(state: pd.DataFrame) -> pd.DataFrame:
        return _finished(view, state, frequency, gaps, tables)

    finished = finish(given) if view.created is None else versions(view, view.created, given, finish)
    first = rows.groupby(list(view.entity), sort=False)[TIME].min().rename("\x00first").reset_index()
    newest = finished.drop_duplicates([*view.entity, TIME], keep="last")
    since = newest[list(view.entity)].merge(first, how="left", on=list(view.entity))["\x00first"].to_numpy()
    return Merged(finished[differs(finished, stored, view.identity())], newest[newest[TIME].to_numpy() >= since])


def _finished(view: View, given: pd.DataFrame, frequency: Frequency, gaps: GapPolicy, tables: Tables) -> pd.DataFrame:
    """The view's columns for raw rows of which no key and time comes twice."""
    panel = panel_from_rows(
        given.sort_values([*view.entity, TIME], kind="stable").assign(**{_GIVEN: 1.0}),
        entity_keys=view.entity,
        past=[*view.numbers, _GIVEN],
        known=(),
        categories=view.texts,
        frequency=frequency,
        gaps="insert",
    )
    grid = panel.to_rows()
    refuse_leaking_functions(view, grid, frequency, tables)
    finished = engineer(view, grid, frequency, tables)
    return finished[panel.past[:, -1] == 1.0].reset_index(drop=True) if gaps == "refuse" else finished


def _inserted(view: View, stored: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """The rows that look as if a gap had been filled with them: no number, the texts of the row before, and a row after. Made anew."""
    if not len(stored) or not view.numbers:
        return np.zeros(len(stored), dtype=bool)
    keys = stored[list(view.entity)].to_numpy(dtype=object)
    texts = stored[[*view.entity, *view.texts]].to_numpy(dtype=object)
    followed = np.concatenate([(keys[1:] == keys[:-1]).all(axis=1), [False]])
    alike = np.concatenate([[False], (texts[1:] == texts[:-1]).all(axis=1)])
    inserted: npt.NDArray[np.bool_] = stored[list(view.numbers)].isna().to_numpy().all(axis=1) & followed & alike
    return inserted


def off_grid(view: View, stored: pd.DataFrame, rows: pd.DataFrame, frequency: Frequency) -> npt.NDArray[np.bool_]:
    """``[rows]``: which cannot be a step of their series; its grid begins with its first stored row, or the first of ``rows``."""
    import pandas as pd

    keys = list(view.entity)
    both = pd.concat([stored[[*keys, TIME]], rows[[*keys, TIME]]], ignore_index=True) if len(stored) else rows[[*keys, TIME]]
    anchors = both.groupby(keys, sort=False)[TIME].first().rename("\x00anchor").reset_index()
    anchor = rows[keys].merge(anchors, how="left", on=keys)["\x00anchor"].dt.tz_localize(None).to_numpy().astype("M8[us]")
    times = rows[TIME].dt.tz_localize(None).to_numpy().astype("M8[us]")
    off: npt.NDArray[np.bool_] = frequency.shift(anchor, frequency.steps_between(anchor, times)) != times
    return off
