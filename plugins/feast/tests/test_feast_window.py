"""Windows from the online store hold what the join of training gives for the same steps, gaps and
all.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast_cases import DAY, FEATURES, FIRST, STORES, ask, everyone, ingest, options, rows, same
from framework_feast.retrieval import FeastRetrieval
from framework_files.file import FileRetrieval
from framework_files.options import FileOptions

from framework.data.vocabulary import OK, SHORT_HISTORY, STALE, TIME, UNKNOWN_ENTITY
from framework.features.views import FeatureSet


def filled(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    kind: str = "sqlite",
    place: str = "",
    **changes: object,
) -> FeastRetrieval:
    strategy = FeastRetrieval(options(tmp_path, kind, place, **changes))
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, None, lambda _: None)
    return strategy


@pytest.mark.parametrize("kind", STORES)
def test_a_window_is_the_tail_of_the_training_rows(kind: str, place: str, tmp_path: Path) -> None:
    tables = rows(8, 40)
    strategy = filled(tmp_path, tables, kind, place, window=60)
    reference = FileRetrieval(FileOptions(state=tmp_path / "offline"))
    statuses = set()
    for length in (2, 7, 21):
        for at in (None, FIRST + 30 * DAY, FIRST + 12 * DAY, FIRST + 5 * DAY):
            moment = None if at is None else at.to_pydatetime()
            there = tables["sales"][tables["sales"][TIME] == at][["shop", "item"]].to_dict(
                "records"
            )
            asked = everyone(tables) if at is None else [*there, everyone(tables)[-1]]
            ours, theirs = (
                ask(strategy, asked, length, moment),
                ask(reference, asked, length, moment),
            )
            statuses.update(ours.status)
            assert ours.status == theirs.status
            if OK in theirs.status:
                same(ours, theirs)
    assert statuses >= {OK, SHORT_HISTORY, STALE, UNKNOWN_ENTITY}


def test_windows_grow_by_materialize_and_by_push_to_their_length(tmp_path: Path) -> None:
    tables = rows(2, 20, gaps=False)
    early = {name: table[table[TIME] < FIRST + 12 * DAY] for name, table in tables.items()}
    strategy = filled(tmp_path, early, window=6, windows={"weather": 40})
    later = {name: table[table[TIME] >= FIRST + 12 * DAY] for name, table in tables.items()}
    ingest(
        strategy,
        {
            "sales": later["sales"][later["sales"][TIME] < FIRST + 15 * DAY],
            "weather": later["weather"],
        },
    )
    strategy.materialize(FEATURES, None, None, lambda _: None, overlap=DAY)
    assert (
        strategy.push(FEATURES, "sales", later["sales"][later["sales"][TIME] >= FIRST + 15 * DAY])
        == 4
    )
    whole = filled(tmp_path / "whole", tables, window=100)
    for length in (2, 6):
        same(ask(strategy, everyone(tables), length), ask(whole, everyone(tables), length))
    short = ask(strategy, everyone(tables), 7)
    assert set(short.status) == {SHORT_HISTORY, UNKNOWN_ENTITY}
    assert "run=materialize with this pair's model keeps as many as it needs" in str(
        short.detail[0]
    )


def test_rows_of_another_view_that_the_window_no_longer_has_are_not_taken_for_missing(
    tmp_path: Path,
) -> None:
    tables = rows(1, 20, gaps=False)
    strategy = filled(tmp_path, tables, window=20, windows={"weather": 2})
    context = ask(strategy, everyone(tables)[:1], 20)
    assert context.status == [SHORT_HISTORY]
    assert "view 'weather': the online window begins at" in str(context.detail[0])
    assert "retrieval.windows.weather and retrieval.window others" in str(context.detail[0])


def test_an_experiment_that_keeps_fewer_rows_shortens_nobodys_window(tmp_path: Path) -> None:
    tables = rows(1, 20, gaps=False)
    strategy = filled(
        tmp_path, {n: t[t[TIME] < FIRST + 15 * DAY] for n, t in tables.items()}, window=12
    )
    filled(tmp_path, tables)
    assert ask(strategy, everyone(tables)[:1], 12).origins[0] == np.datetime64("2024-03-20")
    assert ask(strategy, everyone(tables)[:1], 12).status == [OK]


def test_a_stale_row_is_flagged_where_the_experiment_says_so(tmp_path: Path) -> None:
    tables = rows(1, 12, gaps=False)
    tables["weather"] = tables["weather"][tables["weather"][TIME] < FIRST + 6 * DAY]
    strategy = filled(tmp_path, tables, window=4)
    flagged = FeatureSet.model_validate(FEATURES.model_dump() | {"stale": "flag"})
    newest = tables["weather"].iloc[-1]
    for length in (1, 3):
        assert ask(strategy, everyone(tables)[:1], length).status == [STALE]
        context = ask(strategy, everyone(tables)[:1], length, features=flagged)
        assert context.status == [OK]
        assert context.past[0, -1, 2] == newest["temp"]
        assert context.freshness is not None
        assert {view: bool(stale[0]) for view, stale in context.freshness.stale.items()} == {
            "sales": False,
            "weather": True,
        }
        assert context.freshness.times["weather"][0] == newest[TIME].tz_localize(None).to_numpy()


def test_the_clock_limits_the_newest_origin_and_not_the_one_that_is_asked_for(
    tmp_path: Path,
) -> None:
    tables = rows(1, 12, gaps=False)
    strategy = filled(tmp_path, tables)
    entity, at = everyone(tables)[:1], (FIRST + 11 * DAY).to_pydatetime()
    age = pd.Timestamp.now("UTC") - (FIRST + 11 * DAY)
    for limit, status in ((age + timedelta(hours=1), OK), (age - timedelta(hours=1), STALE)):
        features = FeatureSet.model_validate(
            FEATURES.model_dump() | {"max_age": limit, "stale": "refuse"}
        )
        context = ask(strategy, entity, features=features)
        assert context.status == [status]
        if status == STALE:
            assert "features.max_age" in str(context.detail[0])
            assert ask(strategy, entity, at=at, features=features).status[0] != STALE
