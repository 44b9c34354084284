"""The contract suite of retrieval strategies names what is wrong with each of a dozen faulty ones,
made of the stranger's strategy of :mod:`tests.retrieval`, which it lets pass.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import OK, SHORT_HISTORY, STALE, TIME
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import RetrievalStrategy
from framework.testing.contracts.retrieval import RetrievalContract
from framework.testing.failing import failing_checks

STRANGERS = Path(__file__).parents[1] / "retrieval" / "test_strangers_strategy.py"
Memory: Any = runpy.run_path(str(STRANGERS))["MemoryRetrieval"]


class JoinsTheNewest(Memory):
    """Joins weather of any age, also of later."""

    def training_rows(self, features: FeatureSet, columns: Sequence[str], *known: Any) -> Any:
        rows = super().training_rows(features, columns, *known)
        if "temp" in columns:
            rows["temp"] = rows.groupby("shop")["temp"].transform(lambda temp: temp.ffill())
        return rows


class DropsWithoutAMatch(Memory):
    def training_rows(self, features: FeatureSet, columns: Sequence[str], *known: Any) -> Any:
        rows = super().training_rows(features, columns, *known)
        return rows.dropna(subset=["temp"]) if "temp" in columns else rows


class KeepsTheFirst(Memory):
    """A correction of a row is not stored."""

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        keys, stored = list(features.views[view].identity()), self.stored_rows(features, view)
        if len(stored):
            new = pd.MultiIndex.from_frame(rows[keys])
            rows = rows[~new.isin(pd.MultiIndex.from_frame(stored[keys]))]
        return super().ingest(features, view, rows)


class LocalTimes(Memory):
    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        local = rows[TIME].dt.tz_localize(None).dt.tz_localize("UTC")
        return super().ingest(features, view, rows.assign(**{TIME: local}))


class KnowsTheFuture(Memory):
    """``known_at`` is ignored."""

    def training_rows(self, features: FeatureSet, columns: Sequence[str], *known: Any) -> Any:
        return super().training_rows(features, columns)


class OneVersionOnly(Memory):
    def stored_rows(self, features: FeatureSet, view: str, series: Any = None) -> pd.DataFrame:
        rows = super().stored_rows(features, view, series)
        return rows.drop_duplicates([*features.views[view].entity, TIME], keep="last")


class Answers(Memory):
    """Changes what ``context`` answers; each of the following its own way."""

    async def context(
        self, features: FeatureSet, schema: Schema, entities: Any, at: Any
    ) -> Context:
        return self.changed(await super().context(features, schema, entities, at), schema)

    def changed(self, context: Context, schema: Schema) -> Context:
        return context


class ForgetsTheTtl(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        status = [OK if word == STALE else word for word in context.status]
        return replace(context, status=status)


class ZeroForNull(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        return replace(context, past=np.nan_to_num(context.past, nan=0.0))


class Float32(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        return replace(context, past=context.past.astype(np.float32).astype(np.float64))


class PadsShortHistories(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        status = [OK if word == SHORT_HISTORY else word for word in context.status]
        return replace(context, status=status)


class SaysNoReason(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        return replace(context, detail=[None] * len(context))


class SilentAboutAge(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        return replace(context, freshness=None)


class RepeatsTheOrigin(Answers):
    """Known columns are those of the origin, for each step ahead."""

    def changed(self, context: Context, schema: Schema) -> Context:
        known = np.repeat(context.known[:, :1], context.known.shape[1], axis=1)
        return replace(context, known=known)


class OldestFirstReversed(Answers):
    def changed(self, context: Context, schema: Schema) -> Context:
        return replace(context, past=context.past[:, ::-1])


class NoClock(Memory):
    """``features.max_age`` is ignored."""

    async def context(
        self, features: FeatureSet, schema: Schema, entities: Any, at: Any
    ) -> Context:
        unlimited = features.model_copy(update={"max_age": None})
        return await super().context(unlimited, schema, entities, at)


class Online(Memory):
    """Serves copies that ``materialize`` and ``push`` make."""

    def online(self) -> Any:
        return Memory(self.options.setdefault("online", {}))

    def materialize(self, features: FeatureSet, start: Any, end: Any, *_: Any, **how: Any) -> Any:
        overlap: timedelta | None = how.get("overlap")
        for name in features.views:
            rows, made = self.stored_rows(features, name), self.online().stored_rows(features, name)
            if overlap is not None and len(made):
                rows = rows[rows[TIME] >= self.beginning(made, overlap)]
            if len(rows):
                self.online().ingest(features, name, rows)
        return {}

    def beginning(self, made: pd.DataFrame, overlap: timedelta) -> Any:
        return made[TIME].max() - overlap

    def push(self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Any = None) -> int:
        return int(self.online().ingest(features, view, rows))

    async def context(
        self, features: FeatureSet, schema: Schema, entities: Any, at: Any
    ) -> Context:
        context: Context = await self.online().context(features, schema, entities, at)
        return context


class ForgetsTheOverlap(Online):
    def beginning(self, made: pd.DataFrame, overlap: timedelta) -> Any:
        return made[TIME].max()


class PushesIntoTraining(Online):
    def push(self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Any = None) -> int:
        self.ingest(features, view, rows)
        return super().push(features, view, rows)


class ServesTheLastWritten(Online):
    """Keeps one row of each series: the one that came last, whatever its time."""

    def push(self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Any = None) -> int:
        self.options["online"] = {}
        for name in features.views:
            stored = rows if name == view else self.stored_rows(features, name)
            self.online().ingest(features, name, stored)
        return len(rows)


POINT = "test_training_rows_are_point_in_time"
KNOWN = "test_rows_are_read_as_they_were_known"
PUSH = "test_a_pushed_row_is_served_at_once_and_never_replaces_a_newer_one"
OVERLAP = "test_rows_that_came_late_are_materialized_with_an_overlap"
FLAG = "test_a_stale_row_that_is_flagged_describes_the_origin"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (Online, {PUSH, OVERLAP}, ""),
        (JoinsTheNewest, {POINT, "test_random_rows_are_point_in_time"}, "older than the ttl"),
        (DropsWithoutAMatch, {POINT}, "a join drops rows without a match"),
        (
            KeepsTheFirst,
            {"test_a_later_row_replaces_one_of_equal_key_and_time"},
            "after rows came again with other values",
        ),
        (LocalTimes, {"test_times_of_another_zone_are_the_same_moments"}, "New York"),
        (KnowsTheFuture, {KNOWN}, "the newest one created at or before that time"),
        (OneVersionOnly, {"test_every_version_stays_stored"}, "a backtest would know it too early"),
        (
            ForgetsTheTtl,
            {"test_a_view_older_than_its_ttl_is_stale"},
            "gives the statuses ['ok'], not ['stale']",
        ),
        (
            ZeroForNull,
            {"test_a_null_is_answered_only_where_training_knew_nulls"},
            "a null is answered as 0.0",
        ),
        (Float32, {"test_context_is_the_newest_training_row"}, "the server's store rounds"),
        (
            PadsShortHistories,
            {"test_a_series_shorter_than_the_window_says_so"},
            "a series with 2 rows, where the window has 3 steps",
        ),
        (
            SaysNoReason,
            {"test_a_view_without_the_entity_is_a_missing_feature"},
            "missing_feature without saying why",
        ),
        (SilentAboutAge, {FLAG}, "which views are old"),
        (
            RepeatsTheOrigin,
            {"test_known_columns_are_those_of_the_steps_ahead"},
            "beside what run=predict reads",
        ),
        (
            OldestFirstReversed,
            {"test_a_series_shorter_than_the_window_says_so"},
            "oldest first",
        ),
        (
            NoClock,
            {"test_an_origin_older_than_max_age_by_the_clock_is_stale"},
            "older by the clock than features.max_age",
        ),
        (ForgetsTheOverlap, {OVERLAP}, "after rows came a day late"),
        (PushesIntoTraining, {PUSH}, "that was pushed and not ingested"),
        (ServesTheLastWritten, {PUSH}, "a row of an older time replaced a newer one"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    kind: type[RetrievalStrategy], checks: set[str], words: str, tmp_path: Path
) -> None:
    stores: dict[Path, dict[str, Any]] = {}

    class Suite(RetrievalContract):
        def make(self, tmp_path: Any) -> RetrievalStrategy:
            return kind(stores.setdefault(Path(tmp_path), {}))

    suite = Suite()
    fixtures = {"strategy": suite.make, "length": lambda folder: 3}
    failures = failing_checks(suite, tmp_path, fixtures, checks)
    assert set(failures) == (checks if words else set()), failures
    assert any(words in message for message in failures.values()) or not words, failures
