"""Views that hardly describe the series that they are joined to, one line for each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Flags
from framework.data.canonical_text import key_texts
from framework.data.panel import Panel
from framework.data.vocabulary import TIME
from framework.features.operations import Join
from framework.features.views import FeatureSet, View
from framework.interfaces.retrieval import RetrievalStrategy

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, ...]


def sparse_views(panel: Panel, features: FeatureSet, strategy: RetrievalStrategy) -> list[str]:
    """Say which views describe no row of the panel, or few.

    Few: keys that match nothing on both sides, such as ``1`` and ``1.0``, or fewer than half of the
    rows since the view's first one of the same key. A view that has fewer series, or more, or
    begins later is no doubt.
    """
    lines = []
    for name, view in features.views.items():
        if name == features.primary or name not in panel.held:
            continue
        row_times = panel.held[name]
        fresh = panel.times - row_times <= np.timedelta64(view.ttl, "us")
        has_row = ~np.isnat(row_times) & fresh
        columns = [panel.entity_keys.index(key) for key in view.entity]
        keys = [tuple(map(str, key)) for key in panel.entities[:, columns]]
        some = np.logical_or.reduceat(has_row, panel.offsets[:-1])
        without = set(keys) - {key for key, known in zip(keys, some, strict=True) if known}
        if not without and has_row.mean() >= 0.5:
            continue
        line = _line(view, panel, has_row, keys, strategy.stored_rows(features, name))
        if line is not None:
            lines.append(f"view {name} describes {has_row.sum():,} of {len(has_row):,} rows{line}")
    return lines


def _line(
    view: View, panel: Panel, has_row: Flags, keys: list[Key], stored_rows: pd.DataFrame
) -> str | None:
    """Word what goes on after the counts; None where there is nothing to say. ``keys``: of each
    series.
    """
    view_keys = (
        set(stored_rows[list(view.entity)].itertuples(index=False, name=None))
        if len(stored_rows)
        else set()
    )
    panel_keys = set(keys)
    lacking, unmatched = panel_keys - view_keys, view_keys - panel_keys
    if lacking and unmatched:
        return (
            f": no row for {_first(view, lacking)} of the series, {_first(view, unmatched)} of "
            "the view are no series"
        )
    first = stored_rows.groupby(list(view.entity))[TIME].min() if view.entity else None
    starts = (
        {_key(key): np.datetime64(time.tz_localize(None)) for key, time in first.items()}
        if first is not None
        else {}
    )
    never = np.datetime64("NaT")
    start = np.array([starts.get(key, never) for key in keys], dtype="M8[us]")
    start = np.repeat(start, np.diff(panel.offsets))
    since = panel.times >= start if view.entity else np.ones(len(panel), dtype=bool)
    share = has_row[since].mean() if since.any() else 0.0
    if has_row.any() and share >= 0.5:
        return None
    if not len(stored_rows):
        return ": it has no rows"
    span = f"{stored_rows[TIME].min():%Y-%m-%d %H:%M} to {stored_rows[TIME].max():%Y-%m-%d %H:%M}"
    counted = f" ({share:.0%} of those since its first of the same key)" if has_row.any() else ""
    return (
        f"{counted}: its rows are of {span} and each holds for its ttl of {view.ttl}; raise the "
        "ttl, or mend keys and times"
    )


def _key(key: object) -> Key:
    return key if isinstance(key, tuple) else (str(key),)


def _first(view: View, keys: Collection[Key]) -> str:
    """Count some keys and list the first of them."""
    examples = ", ".join(str(dict(zip(view.entity, key, strict=True))) for key in sorted(keys)[:3])
    return f"{len(keys)} keys ({examples})"


@dataclass(slots=True)
class JoinMatches:
    """The matches of a join at ingestion so far, batch by batch."""

    join: Join
    described: int = 0
    rows: int = 0
    mine: set[Key] = field(default_factory=set)
    theirs: set[Key] = field(default_factory=set)

    def count(self, rows: pd.DataFrame, table: pd.DataFrame) -> None:
        """Add finished rows and the table that they were joined with."""
        if not len(rows):
            return
        by = list(self.join.by)
        self.rows += len(rows)
        self.described += int(rows[list(self.join.names())].notna().any(axis=1).sum())
        texts = {
            key: key_texts(table[key], f"join of '{self.join.table}'", whole=False) for key in by
        }
        self.mine |= set(rows[by].drop_duplicates().itertuples(index=False, name=None))
        self.theirs |= set(zip(*texts.values(), strict=True))

    def doubt(self) -> str | None:
        """Word what goes on after the table's name; None where there is nothing to say."""
        only_view, only_table = (
            sorted(keys, key=str) for keys in (self.mine - self.theirs, self.theirs - self.mine)
        )
        if not self.rows or (self.described and not (only_view and only_table)):
            return None
        counts = f"describes {self.described:,} of {self.rows:,} rows"
        if not only_view:
            return f"{counts}: the keys match, its times or its ttl do not, or its columns are null"
        by = self.join.by
        view_keys, table_keys = (
            ", ".join(str(dict(zip(by, key, strict=True))) for key in keys[:3])
            for keys in (only_view, only_table)
        )
        return f"{counts}: it has no row for {view_keys}" + (
            f", and its own {table_keys} match none" if table_keys else ""
        )
