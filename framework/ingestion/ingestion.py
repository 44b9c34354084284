"""From a source to the store that training reads: batch by batch, merged with what is stored, the
position kept behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from framework.data.grouping import entities_of
from framework.data.vocabulary import TIME
from framework.features.operations import Join
from framework.ingestion.checkpoints import Positions
from framework.ingestion.merging import (
    Grid,
    Merged,
    absent,
    check_whole,
    grid_of,
    left_out,
    merge,
    no_longer_there,
    normal,
    off_grid,
)
from framework.ingestion.parts import Parts
from framework.ingestion.source_changes import keep, tables_of
from framework.ingestion.view_matches import JoinMatches
from framework.interfaces.source import Batch, Roles, Source

if TYPE_CHECKING:
    from threading import Event

    import pandas as pd

    from framework.config.config import Config
    from framework.features.views import View
    from framework.interfaces.retrieval import Needs, RetrievalStrategy


@dataclass(slots=True)
class Count:
    """``read``: rows that came from the source. ``stored``: finished rows that were new or had
    changed.
    """

    read: int = 0
    stored: int = 0


@dataclass(slots=True)
class Ingestion:
    """One ``run=ingest``. ``counts``: of each view, so far. ``warnings``: what was doubtful, a line
    each.

    ``needs``: asked only where something is pushed, because it imports the libraries of the model.
    ``removed``: how many rows were removed because the source no longer had them, by view.
    """

    config: Config
    say: Callable[[str], None]
    source: Source
    strategy: RetrievalStrategy
    needs: Callable[[], Needs]
    counts: dict[str, Count] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _doubted: set[str] = field(default_factory=set)
    removed: dict[str, int] = field(default_factory=dict)
    _matches: dict[tuple[str, str], JoinMatches] = field(default_factory=dict)
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def once(self, stop: Event) -> None:
        """Everything that the source has now, unless ``stop`` is set in between: then what was
        begun is finished.

        The first batch of every view is read, checked and computed before anything is stored.
        """
        self._tables = {}
        with ExitStack() as locks:
            views = self.config.features.views
            for name in sorted(
                views
            ):  # in one order, whatever an experiment lists: else two could wait for each other
                locks.enter_context(self._positions.alone(name, self.say))
            prints = {
                name: self.source.fingerprint_of(tables_of(name, view))
                for name, view in views.items()
            }
            pieces = {name: self._pieces(name) for name in views}
            for piece in pieces.values():
                next(piece, None)
            for name, piece in pieces.items():
                for _ in piece:
                    if stop.is_set():
                        return
                self._join_again(name)
                keep(self.config, name, prints[name])
        for line in self.source.warnings():
            self._warn(f"ingest: {line}")
        self._tell_matches()

    def _pieces(self, name: str) -> Iterator[None]:
        """Computes a batch before each step, stores it after. The parts of a table are stored
        together when the last one is.
        """
        view = self.config.features.views[name]
        recipe = self._made(name, view)
        count = self.counts.setdefault(name, Count())
        parts: Parts | None = None
        with ExitStack() as stack:
            for batch in self.source.batches(
                view.table or name, view, self._position(name, view, recipe)
            ):
                result = self._merged(name, view, batch) if len(batch.rows) or batch.whole else None
                yield
                if batch.part and parts is None:
                    writing = self.strategy.ingesting(self.config.features, name)
                    parts = Parts(view, stack.enter_context(writing))
                if result is not None:
                    count.read += len(batch.rows)
                    if batch.part and parts is not None:
                        changed = parts.add(batch.rows, result)
                    else:
                        changed = self._store(name, result)
                        self._remove(name, result.gone)
                    count.stored += changed
                    if changed or self.source.poll is None:  # each second's look is no news
                        self.say(
                            f"ingest: {name}: {count.read:,} rows read, {count.stored:,} new or "
                            "changed"
                        )
                if batch.position is not None:
                    self._positions.keep(name, recipe, batch.position)
                if batch.stored is not None:
                    batch.stored()
        if parts is not None:
            self._after_parts(name, view, parts)

    def _after_parts(self, name: str, view: View, parts: Parts) -> None:
        """Do as ``ingest.removed`` says of the rows that no part had."""
        if self.config.ingest.removed == "keep":
            return
        features = self.config.features
        one_view = features.model_copy(update={"primary": name, "views": {name: view}})
        absent_series = parts.absent_series(self.strategy.entities(one_view))
        if not len(absent_series) and not parts.lost:
            return
        rows = self.strategy.stored_rows(features, name, absent_series)
        lost_rows = rows[no_longer_there(view, rows, rows.iloc[:0])]
        if self.config.ingest.removed == "warn":
            self._warn_of_removed(name, view, [*parts.lost, lost_rows])
        else:
            self._remove(name, parts.to_remove(rows))

    def _merged(self, name: str, view: View, batch: Batch) -> Merged:
        config, grid = self.config, self._grid(name)
        rows = normal(name, view, batch.rows.reset_index(drop=True))
        if batch.whole:
            check_whole(view, rows, grid)
            if config.ingest.removed != "keep":
                return self._told(name, self._whole(name, view, batch, rows, grid))
        stored_rows = self.strategy.stored_rows(
            config.features, name, entities_of(view.entity, rows)
        )
        if batch.reject is not None:
            off = off_grid(view, stored_rows, rows, grid)
            for row in off.nonzero()[0]:
                batch.reject(
                    int(row),
                    f"field '{TIME}': {rows[TIME].iloc[row]} is not on the {_alias(grid)} "
                    "grid of its series",
                )
            rows = rows[~off]
        return self._told(name, merge(view, stored_rows, rows, grid, self._joins(view)))

    def _told(self, name: str, result: Merged) -> Merged:
        """With its doubt among the warnings, once for each view, and what its joins described
        counted.
        """
        for op in self.config.features.views[name].engineer:
            if isinstance(op, Join):
                self._matches.setdefault((name, op.table), JoinMatches(op)).count(
                    result.affected, self._tables[op.table]
                )
        line = f"ingest: {name}: {result.doubt}"
        if result.doubt is not None and name not in self._doubted:
            self._doubted.add(name)
            self.warnings.append(line)
            self.say(line)
        return result

    def _whole(
        self, name: str, view: View, batch: Batch, rows: pd.DataFrame, grid: Grid | None
    ) -> Merged:
        """As ``ingest.removed`` says of the stored rows that a source which gives all of its rows,
        or a part which gives all of its series, no longer has.
        """
        config = self.config
        series = entities_of(view.entity, rows) if batch.part else None
        stored_rows = self.strategy.stored_rows(config.features, name, series)
        removed_rows = no_longer_there(view, stored_rows, rows)
        lost_rows = stored_rows[removed_rows]
        if len(lost_rows) and not batch.part and config.ingest.removed == "warn":
            self._warn_of_removed(name, view, [lost_rows])
        remove = len(lost_rows) and config.ingest.removed == "remove"
        kept_rows = (
            stored_rows[~absent(stored_rows, rows, [*view.entity, TIME])] if remove else stored_rows
        )
        result = replace(merge(view, kept_rows, rows, grid, self._joins(view)), lost=lost_rows)
        return (
            replace(result, gone=left_out(view, stored_rows, result.finished)) if remove else result
        )

    def _warn_of_removed(self, name: str, view: View, tables: list[pd.DataFrame]) -> None:
        tables = [table for table in tables if len(table)]
        if not tables:
            return
        first = tables[0].iloc[0]
        series = ", ".join(f"{key}: {first[key]}" for key in view.entity)
        self._warn(
            f"ingest: {name}: {sum(map(len, tables)):,} stored rows are no longer in the source, "
            f"the first of series {{{series}}} at "
            f"{first[TIME]:%Y-%m-%dT%H:%MZ}; they stay (ingest.removed=remove removes "
            "them, keep says nothing)"
        )

    def _remove(self, name: str, rows: pd.DataFrame | None) -> None:
        if rows is None or not len(rows):
            return
        count = self.strategy.remove(self.config.features, name, rows)
        self.removed[name] = self.removed.get(name, 0) + count
        self.say(f"ingest: {name}: {count:,} rows removed that the source no longer has")

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)
            self.say(line)

    def _tell_matches(self) -> None:
        """Joins that describe nothing, or have keys that match nothing on both sides, once each."""
        for (name, table), matches in self._matches.items():
            doubt = matches.doubt()
            if doubt is not None and (mark := f"{name} {table}") not in self._doubted:
                self._doubted.add(mark)
                self._warn(f"ingest: {name}: join of '{table}' {doubt}")

    def _store(self, name: str, result: Merged) -> int:
        features = self.config.features
        count = self.strategy.ingest(features, name, result.changed) if len(result.changed) else 0
        if self.source.poll is not None and len(result.affected):
            self.strategy.push(
                features, name, result.affected, self.needs()
            )  # also what was stored before: a killed run may not have come to this
        return count

    def _join_again(self, name: str) -> None:
        """Rows of series that no batch touched get what the joined tables say now."""
        view = self.config.features.views[name]
        if not any(isinstance(op, Join) for op in view.engineer):
            return
        stored_rows = self.strategy.stored_rows(self.config.features, name)
        result = merge(view, stored_rows, stored_rows.iloc[:0], self._grid(name), self._joins(view))
        changed = self._store(name, result)
        if changed:
            self.counts[name].stored += changed
            self.say(f"ingest: {name}: {changed:,} rows changed with the tables they join")

    def _joins(self, view: View) -> dict[str, pd.DataFrame]:
        """The tables that the view joins, each read once in a pass."""
        names = [op.table for op in view.engineer if isinstance(op, Join)]
        for table in names:
            if table not in self._tables:
                self._tables[table] = self.source.read_as(table, self._roles(table))
        return {table: self._tables[table] for table in names}

    def _roles(self, table: str) -> Roles:
        """Of the columns of a joined table, for all views that join it."""
        views = self.config.features.views.values()
        return Roles.of_joins(
            (view, op)
            for view in views
            for op in view.engineer
            if isinstance(op, Join) and op.table == table
        )

    def _position(self, name: str, view: View, recipe: str) -> str | None:
        """Find where to go on; the beginning when the store has nothing of this view."""
        features = self.config.features
        one_view = features.model_copy(update={"primary": name, "views": {name: view}})
        return self._positions.read(name, recipe) if self.strategy.has_rows(one_view) else None

    def _made(self, name: str, view: View) -> str:
        """Describe what a position depends on: the view's definition, the source, the store."""
        config = self.config
        parts = [config.component(group).model_dump_json() for group in ("source", "retrieval")]
        grid = self._grid(name)
        gaps = config.panel.gaps if grid is None else grid.gaps
        return "\n".join([name, view.table or name, view.definition(), gaps, _alias(grid), *parts])

    def _grid(self, name: str) -> Grid | None:
        return grid_of(self.config.features, self.config.panel, name)

    @property
    def _positions(self) -> Positions:
        return Positions(self.config.paths.state / "ingest")


def _alias(grid: Grid | None) -> str:
    return "" if grid is None else grid.frequency.alias
