"""Served forecasts as arrays: read from the ledger, the newest answer of each step, beside the
actual values as the offline store has them now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framework.data.arrays import Flags, Float64, Objects, Rows, Times
from framework.data.arrow_columns import moments
from framework.data.grouping import time_numbers
from framework.data.panel import Panel
from framework.data.vocabulary import OK, TIME
from framework.interfaces.ledger import Ledger
from framework.monitoring.actuals import actuals_of
from framework.monitoring.ledger_rows import hashed

#: Rows that are worked on at a time.
PIECE = 500_000

#: An arm and the pair that it answered with: the arm's name, the pair's version and digest.
Answering = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Served:
    """Forecasts of one pair, a row for each entity, origin, step and target.

    ``series`` numbers ``entities``, the entity of each series; ``target`` numbers the targets.
    ``values``: the mean, then the quantiles. ``actual`` is NaN where the store has none yet;
    ``before`` is the actual a step before, in the store. ``levels``: the version of the followed
    levels that each was served with, None where all were served with the pair's own.
    """

    entities: Objects  # [S, E] str
    series: Rows  # [n]
    origin: Times  # [n]
    time: Times  # [n]
    step: Rows  # [n]
    target: Rows  # [n]
    values: Float64  # [n, 1 + Q]
    actual: Float64  # [n]
    before: Float64  # [n]
    levels: Rows | None = None  # [n]

    def __len__(self) -> int:
        return len(self.series)

    def pieces(self) -> Iterator[slice]:
        """Cut the rows into pieces whose intermediate results fit in memory."""
        return (slice(i, i + PIECE) for i in range(0, len(self), PIECE))

    def where(self, keep: Flags | Rows | slice) -> Served:
        """Take some rows; all of them are no copy."""
        if isinstance(keep, np.ndarray) and keep.dtype == bool and keep.all():
            return self
        arrays = ("series", "origin", "time", "step", "target", "values", "actual", "before")
        levels = None if self.levels is None else self.levels[keep]
        return replace(self, **{name: getattr(self, name)[keep] for name in arrays}, levels=levels)


@dataclass(frozen=True, slots=True)
class Reading:
    """The forecasts of a ledger, by arm and pair.

    ``forecasts``: without actuals. ``failed``: how many rows had no forecast, because the request
    had none. ``newest``: when the pair last answered, UTC. ``rows``: of the ledger that were read.
    ``stale``: by view how many rows were forecast from one that was older than its ttl, and when
    the newest was.
    """

    forecasts: dict[Answering, Served]
    failed: dict[Answering, int]
    newest: dict[Answering, np.datetime64]
    rows: int
    stale: dict[str, tuple[int, np.datetime64]] = field(default_factory=dict)

    def serving(self, known: Collection[Answering]) -> dict[str, Answering]:
        """Say which of the ``known`` pairs each arm serves: the one that answered last, which after
        a rollback is not the one of the highest version.
        """
        return {one[0]: one for one in sorted(known, key=lambda one: (self.newest[one], one[1]))}


def plain_entities(
    reading: Reading, entities: Objects, keys: Sequence[str], hashed_keys: Sequence[str]
) -> None:
    """Put the entities of the offline store in the place of their hashes.

    Args:
        reading: Its forecasts are changed.
        entities: ``[S, E]``, those of the store.
        keys: The entity keys.
        hashed_keys: Those of which the ledger keeps hashes. One that is nobody's stays.
    """
    places = [keys.index(key) for key in hashed_keys if key in keys]
    words = {place: {hashed(text): text for text in entities[:, place]} for place in places}
    for answering, served in reading.forecasts.items():
        known = served.entities.copy()
        for place in places:
            known[:, place] = [words[place].get(text, text) for text in known[:, place]]
        reading.forecasts[answering] = replace(served, entities=known)


@dataclass(slots=True)
class _Pieces:
    """Columns of one pair, piece by piece."""

    columns: list[tuple[Any, ...]]
    failed: int = 0
    newest: np.datetime64 = field(default_factory=lambda: np.datetime64(0, "us"))


def read_served(
    ledger: Ledger,
    name: str,
    state: Path,
    keys: Sequence[str],
    targets: Sequence[str],
    since: datetime | None,
) -> Reading:
    """Read a ledger.

    Of several forecasts of one entity, origin, step and target by the same arm and pair the newest
    counts.

    Args:
        ledger: The ledger.
        name: Of the pairs.
        state: The folder that the servers kept it in.
        keys: The entity keys.
        targets: The targets, which :attr:`Served.target` numbers. Others are left out.
        since: UTC; forecasts made before it are left out.
    """
    columns = ["at", "arm", "version", "digest", *keys, "origin", TIME, "step", "target", "mean"]
    numbers: dict[tuple[str, ...], int] = {}
    pieces: dict[Answering, _Pieces] = {}
    rows, stale = 0, dict[str, tuple[int, np.datetime64]]()
    for table in ledger.read(
        name, state, [*columns, "q*", "status", "stale", "levels_version"], since
    ):
        rows += len(table)
        _count_stale(table, stale)
        for answering, part in _by_pair(table):
            of_pair = pieces.setdefault(answering, _Pieces([]))
            good = part.filter(
                pc.and_(
                    pc.equal(part["status"], OK),
                    pc.is_in(part["target"], value_set=pa.array(targets, pa.string())),
                )
            )
            of_pair.failed += len(part) - len(good)
            of_pair.newest = max(of_pair.newest, moments(part["at"]).max())
            of_pair.columns.append(_arrays(good, keys, targets, numbers))
    entities = np.array(list(numbers), dtype=object).reshape(len(numbers), len(keys))
    failed = {answering: of_pair.failed for answering, of_pair in pieces.items()}
    newest = {answering: of_pair.newest for answering, of_pair in pieces.items()}
    forecasts = {answering: _newest(of_pair, entities) for answering, of_pair in pieces.items()}
    return Reading(forecasts, failed, newest, rows, stale)


def _count_stale(table: pa.Table, stale: dict[str, tuple[int, np.datetime64]]) -> None:
    if "stale" not in table.column_names or table["stale"].null_count == len(table):
        return
    groups = table.group_by("stale").aggregate([([], "count_all"), ("at", "max")])
    newest = moments(groups["at_max"])
    for i, one in enumerate(groups.to_pylist()):
        for view in filter(None, (one["stale"] or "").split(",")):
            rows, at = stale.get(view, (0, newest[i]))
            stale[view] = rows + one["count_all"], max(at, newest[i])


def _by_pair(table: pa.Table) -> Iterator[tuple[Answering, pa.Table]]:
    groups = table.select(["arm", "version", "digest"]).group_by(["arm", "version", "digest"])
    for group in groups.aggregate([]).to_pylist():
        same = [pc.equal(table[key], group[key]) for key in ("arm", "version", "digest")]
        mask = pc.and_(pc.and_(same[0], same[1]), same[2])
        yield (group["arm"], group["version"], group["digest"]), table.filter(mask)


def _arrays(
    table: pa.Table,
    keys: Sequence[str],
    targets: Sequence[str],
    numbers: dict[tuple[str, ...], int],
) -> tuple[Any, ...]:
    """The columns as arrays; ``numbers`` grows by the entities that are new. Another pair's
    quantiles are all null; a table without rows has those of all pairs.
    """
    quantiles = sorted(
        (
            name
            for name in table.column_names
            if name.startswith("q")
            and name not in keys
            and (not len(table) or table[name].null_count < len(table))
        ),
        key=lambda name: float(name[1:]),
    )
    values = np.stack(
        [np.asarray(table[n].to_numpy(), dtype=np.float64) for n in ("mean", *quantiles)], axis=1
    )
    place = pc.index_in(table["target"], value_set=pa.array(targets, pa.string()))
    return (
        _series(table, keys, numbers),
        moments(table["origin"]),
        moments(table[TIME]),
        table["step"].to_numpy().astype(np.int32),
        place.to_numpy().astype(np.int32),
        values,
        _levels(table),
        moments(table["at"]),
    )


def _levels(table: pa.Table) -> Rows:
    """The versions; a ledger of before has none."""
    if "levels_version" not in table.column_names:
        return np.zeros(len(table), dtype=np.int32)
    return np.asarray(pc.fill_null(table["levels_version"], 0).to_numpy().astype(np.int32))


def _series(table: pa.Table, keys: Sequence[str], numbers: dict[tuple[str, ...], int]) -> Any:
    codes = np.zeros(len(table), dtype=np.int64)
    words: list[list[str]] = []
    for key in keys:
        encoded = pc.dictionary_encode(table[key].combine_chunks())
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        words.append(encoded.dictionary.to_pylist())
        codes = codes * len(words[-1]) + encoded.indices.to_numpy()
    unique, place = np.unique(codes, return_inverse=True)
    of_unique = np.empty(len(unique), dtype=np.int32)
    for i, code in enumerate(unique.tolist()):
        entity: list[str] = []
        rest = code
        for dictionary in reversed(words):
            rest, word = divmod(rest, len(dictionary))
            entity.append(dictionary[word])
        of_unique[i] = numbers.setdefault(tuple(reversed(entity)), len(numbers))
    return of_unique[place]


def _newest(pieces: _Pieces, entities: Objects) -> Served:
    """Put the pieces together, and keep the newest of several forecasts of a cell. The pieces are
    let go of column by column: all rows in memory twice would be too many.
    """
    names = ("series", "origin", "time", "step", "target", "values", "levels", "at")
    columns: dict[str, Any] = {}
    # a piece of failures alone may have quantiles of other pairs
    pieces.columns = [piece for piece in pieces.columns if len(piece[0])] or pieces.columns[:1]
    for i, name in enumerate(names):
        columns[name] = np.concatenate([piece[i] for piece in pieces.columns])
        pieces.columns = [(*piece[:i], None, *piece[i + 1 :]) for piece in pieces.columns]
    pieces.columns.clear()
    newest = _newest_rows(columns)
    del columns["at"]
    if not newest.all():
        for name, column in columns.items():
            columns[name] = column[newest]
    unknown = np.full(len(columns["series"]), np.nan)
    if not columns["levels"].any():
        columns["levels"] = None
    return Served(entities, **columns, actual=unknown, before=unknown)


def _newest_rows(columns: Mapping[str, Any]) -> Flags:
    origins, cell = time_numbers(columns["origin"])
    count = len(origins)
    for name in ("series", "step", "target"):  # in place: a column of 8 bytes a row is large
        cell += np.multiply(columns[name], count, dtype=np.int64)
        count *= int(columns[name].max(initial=0)) + 1
    order = np.lexsort((columns["at"], cell))
    cell = cell[order]
    newest = np.ones(len(order), dtype=bool)
    newest[order[:-1]] = cell[1:] != cell[:-1]
    return newest


def with_actuals(served: Served, panel: Panel, targets: int) -> Served:
    """Add what the offline store says today, so that late and corrected rows count.

    Args:
        served: The forecasts.
        panel: The store's rows; its first past columns are the targets.
        targets: How many.
    """
    actual, before = np.full((2, len(served)), np.nan)
    number = panel.series_of(served.entities)
    for piece in served.pieces():
        actual[piece], before[piece] = actuals_of(
            panel, number[served.series[piece]], served.time[piece], served.target[piece], targets
        )
    return replace(served, actual=actual, before=before)
