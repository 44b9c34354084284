"""The panel of stored rows: each series up to its newest actual, what is stored of the steps after
it, and how old it all is.

Training, backtest and ``run=predict`` use it through
:class:`framework.retrieval.features.Features`, ``retrieval=file`` directly, so that all of them ask
one panel by one rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from framework.data.arrays import Objects, Rows, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_parts import joined_panel
from framework.data.panel_rows import NO_ROWS
from framework.data.schema import Schema
from framework.data.scratch import IN_MEMORY, Scratch
from framework.data.vocabulary import MISSING_FEATURE, OK, GapPolicy
from framework.errors import DataError
from framework.features.views import FeatureSet
from framework.interfaces.compute import Piece
from framework.interfaces.retrieval import RetrievalStrategy, StoredRows
from framework.retrieval.freshness import absent_origin, check_context
from framework.retrieval.part_panel import Columns, described, history_of, rows_panel

_NAT = np.datetime64("NaT", "us")


def columns_of(schema: Schema) -> Columns:
    """List the columns that a pair asks for.

    Args:
        schema: The pair's schema.

    Returns:
        The columns.
    """
    categories = schema.static[len(schema.entity_keys) :]
    frequency = Frequency.parse(schema.frequency)
    return Columns(schema.targets, schema.past, schema.known, categories, frequency, schema.horizon)


#: About so many stored rows are read at a time.
PART = 500_000


def stored_panel(
    strategy: RetrievalStrategy,
    features: FeatureSet,
    columns: Columns,
    gaps: GapPolicy,
    known_at: datetime | None = None,
    scratch: Scratch = IN_MEMORY,
) -> Panel:
    """Read the rows of every view and join them, point-in-time; part by part where the strategy can
    read some series alone.

    Args:
        strategy: Where the rows are.
        features: The views.
        columns: Which columns, and how far ahead.
        gaps: What is done about a step that a series lacks.
        known_at: Only versions created at or before it; None: the newest.
        scratch: Where the arrays of the panel are kept.

    Returns:
        The panel. A series without any actual is not in it.

    Raises:
        DataError: No row, no actual at all, or rows that are no panel.
    """
    spans: list[Times] = []

    def panels(parts: Sequence[StoredRows]) -> Iterator[Panel]:
        for number, part in enumerate(parts):
            try:
                rows = rows_panel(part, features, columns, gaps, known_at)
                if rows is None:
                    continue
                rows_alone, whole = rows
                spans.append(np.array([rows_alone.times.min(), rows_alone.times.max()]))
                history = history_of(rows_alone, columns.targets)
                del rows, rows_alone
                if history is not None:
                    yield described(part, features, columns, history, known_at, whole)
            except DataError as error:
                if len(parts) == 1:
                    raise
                text = f"{error} (part {number + 1} of {len(parts)}, counts are of its rows)"
                raise DataError(text) from error

    with strategy.parts(features, PART) as parts:
        panel = joined_panel(panels(parts), scratch)
        in_parts = len(parts) > 1
    if in_parts:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()  # it would keep what the largest part took
    if panel is not None:
        return panel
    if spans:
        first, last = np.min(spans), np.max(spans)
        raise DataError(
            f"panel.targets: no row from {first} to {last} has a value of {list(columns.targets)}; "
            "ingest rows that have one."
        )
    if known_at is not None:
        raise DataError(
            f"backtest.as_known: no row was known at {known_at:%Y-%m-%dT%H:%MZ}; lower "
            "backtest.folds."
        )
    raise DataError(NO_ROWS)


def stored_context(
    panel: Panel,
    features: FeatureSet,
    schema: Schema,
    entities: Sequence[Sequence[str]] | Objects,
    at: np.datetime64 | Times | None,
    now: np.datetime64 | None,
) -> Context:
    """Cut one window per entity from a panel of stored rows, as every server does: each with the
    status that its rows deserve.

    Args:
        panel: As :func:`stored_panel` makes it.
        features: The views, whose ttl and policies count.
        schema: What the windows have.
        entities: Whose windows.
        at: The origin of all, or of each; None: of each series its newest actual.
        now: The clock, where the origins are the newest ones (``features.max_age``).

    Returns:
        The windows, in order, by :func:`framework.retrieval.freshness.check_context`.
    """
    series = panel.series_of(entities)
    context = panel.context(schema, entities, at, series)
    rows = panel.rows_at(series, np.where(series >= 0, context.origins, panel.times[0]))
    row_times = {view: np.where(rows >= 0, times[rows], _NAT) for view, times in panel.held.items()}
    if at is not None:
        for j in (j for j, status in enumerate(context.status) if status == MISSING_FEATURE):
            times = panel.times[panel.offsets[series[j]] : panel.offsets[series[j] + 1]]
            origins = np.broadcast_to(at, len(entities))[j]
            nearest = times[max(int(np.searchsorted(times, origins, side="right")) - 1, 0)]
            context.status[j], context.detail[j] = absent_origin(
                features.primary, features.views[features.primary], origins, nearest
            )
    if panel.ageless is not None:
        context = _with_old_rows(panel, panel.ageless, features, schema, context, rows)
    return check_context(features, schema, context, row_times, now)


def _with_old_rows(
    panel: Panel,
    ageless: Panel,
    features: FeatureSet,
    schema: Schema,
    context: Context,
    rows: Rows,
) -> Context:
    """Describe the origin by the newest row of each view even where that is stale, and the steps
    before it that had the same row.
    """
    past, static = context.past.copy(), context.static.copy()
    whole = np.array([j for j, status in enumerate(context.status) if status == OK], dtype=np.int64)
    steps = rows[whole, None] + np.arange(1 - schema.context_length, 1)
    starts = panel.offsets[np.searchsorted(panel.offsets, rows[whole], side="right") - 1]
    in_series = steps >= starts[:, None]
    steps = np.maximum(steps, 0)
    for name, times in panel.held.items():
        if name == features.primary:
            continue
        names = features.views[name].feature_names()
        same = in_series & (times[steps] == times[rows[whole]][:, None])
        for i in (i for i, column in enumerate(schema.past) if column in names):
            old = ageless.past[:, panel.past_names.index(schema.past[i])][steps]
            past[whole, :, i] = np.where(same, old, past[whole, :, i])
        for i in (i for i, column in enumerate(schema.static) if column in names):
            static[whole, i] = ageless.static[rows[whole], i]
    return replace(context, past=past, static=static)


@dataclass(frozen=True)
class PanelWindows:
    """One window for each entity ``[n, E]`` of a panel, at ``at`` or at each series' newest actual,
    with the status a server gives it.
    """

    panel: Panel
    features: FeatureSet
    schema: Schema
    entities: Objects | Sequence[Sequence[str]]
    at: np.datetime64 | None
    now: np.datetime64 | None  # the clock, where no origin is named

    def pieces(self, size: int) -> list[Piece]:
        """Divide the entities.

        Args:
            size: The most entities of a piece.

        Returns:
            The first entity of each piece and the one past its last.
        """
        return [
            (start, min(start + size, len(self.entities)))
            for start in range(0, len(self.entities), size)
        ]

    def context(self, piece: Piece) -> Context:
        """Cut the windows of one piece.

        Args:
            piece: One of :meth:`pieces`.

        Returns:
            The windows, in the order of the entities.
        """
        return stored_context(
            self.panel, self.features, self.schema, self.entities[slice(*piece)], self.at, self.now
        )
