"""New raw rows and stored ones to finished rows: the same whether rows came at once or in pieces,
in order or late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from framework.data.canonical_text import category_texts, key_texts
from framework.data.frequency import Frequency
from framework.data.grid import LONGEST_GAP, check_order
from framework.data.grouping import series_numbers
from framework.data.panel_rows import panel_from_rows
from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME, GapPolicy
from framework.errors import DataError, suggest
from framework.features.engineering import Tables, engineer
from framework.features.leak_canary import refuse_leaking_functions
from framework.features.views import INSERTED, FeatureSet, View
from framework.ingestion.row_versions import differs, versions

if TYPE_CHECKING:
    import pandas as pd

    from framework.config.sections import PanelConfig

#: 1 in the rows that the source gave, null in those inserted for the steps in between. No column
#: of a view has this name.
_GIVEN = "\x00given"


@dataclass(frozen=True, slots=True)
class Merged:
    """``changed``: the finished rows that are new or differ from what is stored. ``affected``:
    those that new rows could have changed.

    ``doubt``: what a person should know of the gaps that were filled. ``finished``: every row of
    their series. ``gone``: the stored rows that are to be removed, None when none are. ``lost``:
    the stored rows that a source which gives all of its rows no longer has.
    """

    changed: pd.DataFrame
    affected: pd.DataFrame
    finished: pd.DataFrame
    doubt: str | None = None
    gone: pd.DataFrame | None = None
    lost: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of a view's rows. ``gaps``: what a missing one becomes.

    ``refuse`` and ``insert`` are of the primary view. Of another, whose rows stay as they are
    given, a step between two rows is null while features are computed (``null``), or there is none:
    ``full``, when nothing says how far apart the rows are.
    """

    frequency: Frequency
    gaps: GapPolicy | Literal["null", "full"]


def grid_of(features: FeatureSet, panel: PanelConfig, name: str) -> Grid | None:
    """None: rows of any time, none of which looks at another."""
    view = features.views[name]
    if name == features.primary:
        return Grid(Frequency.parse(panel.frequency), panel.gaps)
    path = f"features.views.{name}.frequency"
    if view.frequency is not None:
        return Grid(Frequency.parse(view.frequency, path), "null")
    return Grid(Frequency.parse(panel.frequency, path), "full") if view.counts_steps else None


def check_whole(view: View, rows: pd.DataFrame, grid: Grid | None) -> None:
    """Raise :class:`DataError` unless the rows of a whole table are unique; of a primary view also
    on its grid and by policy without gaps. Their order does not matter.

    ``rows``: as :func:`normal` gives them. Of a view with a created column the newest versions are
    checked.
    """
    (series,) = series_numbers(view.entity, rows)
    times = rows[TIME].dt.tz_localize(None).to_numpy()
    series_step, order = np.diff(series), np.diff(times) < np.timedelta64(0)
    if (series_step < 0).any() or (order & (series_step == 0)).any():
        rows = rows.sort_values([*view.entity, TIME], kind="stable", ignore_index=True)
    if view.created is not None:
        rows = rows.sort_values(list(view.identity()), kind="stable").drop_duplicates(
            [*view.entity, TIME], keep="last"
        )
    if grid is None or grid.gaps in ("null", "full"):
        if len(rows):
            times = rows[TIME].dt.tz_localize(None).to_numpy().astype("M8[us]")
            check_order(rows[list(view.entity)].to_numpy(dtype=object), times, view.entity)
        return
    policy: GapPolicy = "insert" if grid.gaps == "insert" else "refuse"
    panel_from_rows(
        rows,
        entity_keys=view.entity,
        past=view.numbers,
        known=(),
        categories=view.texts,
        frequency=grid.frequency,
        gaps=policy,
    )


def normal(name: str, view: View, rows: pd.DataFrame) -> pd.DataFrame:
    """The view's raw columns with canonical texts and times in UTC, as they are stored. Raises
    :class:`DataError` for what is missing.
    """
    columns = [*view.identity(), *view.columns]
    missing_columns = [c for c in columns if c not in rows.columns]
    if missing_columns:
        have = list(map(str, rows.columns))
        hint = suggest(missing_columns[0], have)
        raise DataError(
            f"view '{name}': missing columns {missing_columns};{hint} The source gives {have}: "
            "select or rename them there."
        )
    empty = [c for c in view.identity() if rows[c].isna().any()]
    if empty:
        raise DataError(f"view '{name}': null in {empty}; every row needs its keys and its time.")
    normal_rows = rows[columns].assign(
        **{key: key_texts(rows[key], f"view '{name}'") for key in view.entity}
    )
    for column in view.texts:
        try:
            normal_rows[column] = category_texts(rows[column])
        except DataError as error:
            raise DataError(f"view '{name}': {error}.") from None
    for column in view.identity()[len(view.entity) :]:
        normal_rows[column] = utc_times(rows[column], f"view '{name}': column '{column}'")
    for column in view.numbers:
        try:
            normal_rows[column] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"view '{name}': column '{column}' is not numeric ({error}); mend it or "
                "list it under categories."
            ) from error
        infinite = np.isinf(normal_rows[column].to_numpy())
        if infinite.any():
            row = normal_rows.loc[infinite, [*view.entity, TIME]].iloc[0].to_dict()
            raise DataError(
                f"view '{name}': column '{column}' is infinite in {infinite.sum():,} rows, "
                f"first at {row}; mend it, or make it null."
            )
    return normal_rows


def merge(
    view: View, stored_rows: pd.DataFrame, rows: pd.DataFrame, grid: Grid | None, tables: Tables
) -> Merged:
    """Finished rows of the series that ``rows`` and ``stored_rows`` hold.

    ``rows``: as :func:`normal` gives them; of equal identity the last counts, and replaces a stored
    one. ``stored_rows``: every stored row of those series. An inserted row is not an input: it is
    made again from the inputs.
    """
    import pandas as pd

    raw = [*view.identity(), *view.columns]
    inserts = grid is not None and grid.gaps == "insert"
    stored_inputs = stored_rows[raw][~_inserted(view, stored_rows)] if inserts else stored_rows[raw]
    parts = [part for part in (stored_inputs, rows[raw]) if len(part)]
    if not parts:
        return Merged(stored_rows, stored_rows, stored_rows)
    inputs = pd.concat(parts, ignore_index=True).drop_duplicates(list(view.identity()), keep="last")

    def finish(state: pd.DataFrame) -> pd.DataFrame:
        return _finished(view, state, grid, tables)

    finished_rows = (
        finish(inputs) if view.created is None else versions(view, view.created, inputs, finish)
    )
    newest = finished_rows.drop_duplicates([*view.entity, TIME], keep="last")
    series, changed = series_numbers(view.entity, newest, rows)
    since = rows[TIME].groupby(changed).min().reindex(series).to_numpy()
    unmarked = INSERTED not in stored_rows.columns or stored_rows[INSERTED].isna().all()
    comparable = finished_rows.drop(columns=INSERTED) if unmarked else finished_rows
    new = differs(comparable, stored_rows, view.identity())
    doubt = _doubt(view, newest) if inserts else None
    return Merged(
        finished_rows[new], newest[newest[TIME].to_numpy() >= since], finished_rows, doubt
    )


def _finished(view: View, inputs: pd.DataFrame, grid: Grid | None, tables: Tables) -> pd.DataFrame:
    """The view's columns, and whether a row was inserted, for raw rows of which no key and time
    comes twice.
    """
    rows = inputs.sort_values([*view.entity, TIME], kind="stable", ignore_index=True)
    if grid is None:
        return engineer(view, rows, None, tables).assign(**{INSERTED: 0.0})
    panel = panel_from_rows(
        rows.assign(**{_GIVEN: 1.0}),
        entity_keys=view.entity,
        past=[*view.numbers, _GIVEN],
        known=(),
        categories=view.texts,
        frequency=grid.frequency,
        gaps="insert",
    )
    inserted = panel.past[:, -1] != 1.0
    if grid.gaps == "full" and inserted.any():
        raise DataError(
            f"{grid.frequency.path}: a column of the view looks at other rows or at the "
            "calendar, and its rows are not "
            f"{grid.frequency.alias} apart as those of the primary view; say here how far "
            "apart they are, such as W."
        )
    full = panel.to_rows()
    refuse_leaking_functions(view, full, grid.frequency, tables)
    finished_rows = engineer(view, full, grid.frequency, tables).assign(
        **{INSERTED: inserted.astype(np.float64)}
    )
    return (
        finished_rows if grid.gaps == "insert" else finished_rows[~inserted].reset_index(drop=True)
    )


def _inserted(view: View, stored_rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Find the stored rows that fill a gap: those that say so, and of an earlier version, which did
    not say, those that look so.

    Such a row has no number, the texts of the row before, and a row after.
    """
    marks = (
        stored_rows[INSERTED].to_numpy(dtype=np.float64)
        if INSERTED in stored_rows.columns
        else np.full(len(stored_rows), np.nan)
    )
    unsaid = np.isnan(marks)
    if not unsaid.any() or not view.numbers or view.created is not None:
        return np.asarray(marks == 1.0)
    keys = stored_rows[list(view.entity)].to_numpy(dtype=object)
    texts = stored_rows[[*view.entity, *view.texts]].to_numpy(dtype=object)
    followed = np.concatenate([(keys[1:] == keys[:-1]).all(axis=1), [False]])
    alike = np.concatenate([[False], (texts[1:] == texts[:-1]).all(axis=1)])
    guess = stored_rows[list(view.numbers)].isna().to_numpy().all(axis=1) & followed & alike
    return np.asarray(np.where(unsaid, guess, marks == 1.0), dtype=np.bool_)


def _doubt(view: View, newest: pd.DataFrame) -> str | None:
    """Word the doubt about gaps that were filled, if they are more than pauses. ``newest``: one row
    for each key and step.
    """
    is_input = newest[INSERTED].to_numpy() == 0.0
    if is_input.all():
        return None
    keys = newest[list(view.entity)].to_numpy(dtype=object)
    places = np.flatnonzero(is_input)  # a gap lies between two given rows of a series
    gaps = np.diff(places) - 1
    row = int(gaps.argmax())
    before, after = (newest[TIME].iloc[places[i]].isoformat()[:19] for i in (row, row + 1))
    series = dict(zip(view.entity, keys[places[row]], strict=True))
    longest = (
        f"the longest gap has {gaps[row]:,} steps, between {before} and {after} in series {series}"
    )
    beside = int((keys[is_input] == keys[places[row]]).all(axis=1).sum())
    if len(is_input) > 2 * len(places):
        return (
            f"panel.gaps=insert made {len(is_input) - len(places):,} rows beside {len(places):,} "
            f"given ones: {longest}"
        )
    if gaps[row] > max(LONGEST_GAP, beside):
        return f"panel.gaps=insert: {longest}, which has {beside:,} rows of its own"
    return None


def no_longer_there(
    view: View, stored_rows: pd.DataFrame, rows: pd.DataFrame
) -> npt.NDArray[np.bool_]:
    """``[stored]``: whose key and time are not among ``rows``, all that the source has. Rows that
    were inserted for a gap never were.
    """
    return absent(stored_rows, rows, [*view.entity, TIME]) & ~_inserted(view, stored_rows)


def left_out(view: View, stored_rows: pd.DataFrame, finished_rows: pd.DataFrame) -> pd.DataFrame:
    """The identities of ``stored_rows`` that ``finished_rows`` has not."""
    identity = list(view.identity())
    return stored_rows.loc[absent(stored_rows, finished_rows, identity), identity]


def absent(
    stored_rows: pd.DataFrame, rows: pd.DataFrame, columns: list[str]
) -> npt.NDArray[np.bool_]:
    """``[stored]``: whose values of ``columns`` are not among those of ``rows``."""
    marks = rows[columns].drop_duplicates().assign(**{_GIVEN: True})
    mask: npt.NDArray[np.bool_] = (
        stored_rows[columns].merge(marks, how="left", on=columns)[_GIVEN].isna().to_numpy()
    )
    return mask


def off_grid(
    view: View, stored_rows: pd.DataFrame, rows: pd.DataFrame, grid: Grid | None
) -> npt.NDArray[np.bool_]:
    """``[rows]``: which cannot be a step of their series; its grid begins with its first stored
    row, or the first of ``rows``.
    """
    import pandas as pd

    if grid is None:
        return np.zeros(len(rows), dtype=bool)
    frequency = grid.frequency
    stored_series, new_series = series_numbers(view.entity, stored_rows, rows)
    times = (
        pd.concat([stored_rows[TIME], rows[TIME]], ignore_index=True)
        if len(stored_rows)
        else rows[TIME].reset_index(drop=True)
    )
    anchors = times.groupby(np.concatenate([stored_series, new_series])).first()
    anchor = anchors.reindex(new_series).dt.tz_localize(None).to_numpy().astype("M8[us]")
    times = rows[TIME].dt.tz_localize(None).to_numpy().astype("M8[us]")
    off: npt.NDArray[np.bool_] = (
        frequency.shift(anchor, frequency.steps_between(anchor, times)) != times
    ) | ~frequency.labels(times)
    return off
