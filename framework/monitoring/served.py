"""Served forecasts as arrays: read from the ledger, the newest answer of each step, beside the
actual values as the offline store has them now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framework.data.arrays import Flags, Float64, Objects, Rows, Times
from framework.data.arrow_columns import moments
from framework.data.panel import Panel
from framework.data.vocabulary import OK, TIME
from framework.interfaces.ledger import Ledger

#: An arm and the pair that it answered with: the arm's name, the pair's version and digest.
Answering = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Served:
    """Forecasts of one pair, a row for each entity, origin, step and target.

    ``series`` numbers ``entities``, the entity of each series; ``target`` numbers the targets.
    ``values``: the mean, then the quantiles. ``actual`` is NaN where the store has none yet;
    ``before`` is the actual a step before, in the store.
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

    def __len__(self) -> int:
        return len(self.series)

    def where(self, keep: Flags | Rows) -> Served:
        """Take some rows."""
        arrays = ("series", "origin", "time", "step", "target", "values", "actual", "before")
        return replace(self, **{name: getattr(self, name)[keep] for name in arrays})


@dataclass(slots=True)
class _Pieces:
    """Columns of one pair, piece by piece."""

    columns: list[tuple[Any, ...]]
    failed: int = 0


def read_served(
    ledger: Ledger,
    name: str,
    state: Path,
    keys: Sequence[str],
    targets: Sequence[str],
    since: datetime | None,
) -> tuple[dict[Answering, Served], dict[Answering, int], int]:
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

    Returns:
        By arm and pair: the forecasts, without actuals, and how many rows had none because the
        request had no forecast; the rows of the ledger that were read.
    """
    columns = ["at", "arm", "version", "digest", *keys, "origin", TIME, "step", "target", "mean"]
    numbers: dict[tuple[str, ...], int] = {}
    pieces: dict[Answering, _Pieces] = {}
    rows = 0
    for table in ledger.read(name, state, [*columns, "q*", "status"], since):
        rows += len(table)
        for answering, part in _by_pair(table):
            kept = pieces.setdefault(answering, _Pieces([]))
            good = part.filter(
                pc.and_(
                    pc.equal(part["status"], OK),
                    pc.is_in(part["target"], value_set=pa.array(targets, pa.string())),
                )
            )
            kept.failed += len(part) - len(good)
            kept.columns.append(_arrays(good, keys, targets, numbers))
    entities = np.array(list(numbers), dtype=object).reshape(len(numbers), len(keys))
    return (
        {answering: _newest(kept, entities) for answering, kept in pieces.items()},
        {answering: kept.failed for answering, kept in pieces.items()},
        rows,
    )


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
    """The columns as arrays; ``numbers`` grows by the entities that are new."""
    quantiles = sorted(
        (n for n in table.column_names if n.startswith("q") and table[n].null_count < len(table)),
        key=lambda n: float(n[1:]),
    )
    values = np.stack(
        [np.asarray(table[n].to_numpy(), dtype=np.float64) for n in ("mean", *quantiles)], axis=1
    )
    place = pc.index_in(table["target"], value_set=pa.array(targets, pa.string()))
    return (
        _series(table, keys, numbers),
        moments(table["origin"]),
        moments(table[TIME]),
        table["step"].to_numpy().astype(np.int16),
        place.to_numpy().astype(np.int16),
        values,
        moments(table["at"]),
    )


def _series(table: pa.Table, keys: Sequence[str], numbers: dict[tuple[str, ...], int]) -> Rows:
    codes = np.zeros(len(table), dtype=np.int64)
    words: list[list[str]] = []
    for key in keys:
        encoded = pc.dictionary_encode(table[key].combine_chunks())
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        words.append(encoded.dictionary.to_pylist())
        codes = codes * len(words[-1]) + encoded.indices.to_numpy()
    unique, place = np.unique(codes, return_inverse=True)
    of_unique = np.empty(len(unique), dtype=np.int64)
    for i, code in enumerate(unique.tolist()):
        entity: list[str] = []
        rest = code
        for listed in reversed(words):
            rest, word = divmod(rest, len(listed))
            entity.append(listed[word])
        of_unique[i] = numbers.setdefault(tuple(reversed(entity)), len(numbers))
    return of_unique[place]


def _newest(kept: _Pieces, entities: Objects) -> Served:
    series, origin, time, step, target, values, at = (
        np.concatenate([piece[i] for piece in kept.columns]) for i in range(7)
    )
    origins, origin_number = np.unique(origin, return_inverse=True)
    steps, targets = int(step.max(initial=0)) + 1, int(target.max(initial=0)) + 1
    cell = ((series.astype(np.int64) * max(len(origins), 1) + origin_number) * steps + step) * (
        targets
    ) + target
    order = np.lexsort((at, cell))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = cell[order[1:]] != cell[order[:-1]]
    newest = order[last]
    unknown = np.full(len(newest), np.nan)
    return Served(
        entities,
        series[newest].astype(np.int64),
        origin[newest],
        time[newest],
        step[newest].astype(np.int64),
        target[newest].astype(np.int64),
        values[newest],
        unknown,
        unknown,
    )


def with_actuals(served: Served, panel: Panel, targets: int) -> Served:
    """Add what the offline store says today, so that late and corrected rows count.

    Args:
        served: The forecasts.
        panel: The store's rows; its first past columns are the targets.
        targets: How many.
    """
    if not len(served):
        return served
    series = panel.series_of(served.entities)[served.series]
    rows = panel.rows_at(series, served.time)
    values = panel.past[:, :targets]
    actual = np.where(rows >= 0, values[np.maximum(rows, 0), served.target], np.nan)
    first = rows == panel.offsets[np.maximum(series, 0)]
    earlier = (rows > 0) & ~first
    before = np.where(earlier, values[np.maximum(rows - 1, 0), served.target], np.nan)
    return replace(served, actual=actual, before=before)
