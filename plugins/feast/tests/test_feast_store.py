"""``retrieval=feast`` beyond the contract: what is refused, late rows, threads, other processes,
standard output.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore
from framework_feast import FeastOptions
from framework_feast.repository import store
from framework_feast.retrieval import FeastRetrieval

from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, TIME
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet

FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {"entity": ["shop"], "columns": ["y"], "ttl": "1d"},
            "area": {"entity": ["shop"], "columns": ["size"], "ttl": "9d"},
        },
    }
)
SCHEMA = Schema(
    name="n",
    entity_keys=("shop",),
    frequency="D",
    targets=("y",),
    past=("y", "size"),
    nullable=(),
    known=(),
    static=("shop",),
    horizon=1,
    context_length=1,
    quantiles=(),
)
FIRST = pd.Timestamp("2024-01-01", tz="UTC")


def content(root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "project": "test",
        "provider": "local",
        "registry": {"path": str(root / "feast" / "registry.db")},
        "online_store": {"type": "sqlite", "path": str(root / "feast" / "online.db")},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
        **changes,
    }


def make(root: Path, **changes: Any) -> FeastRetrieval:
    return FeastRetrieval(FeastOptions(store=content(root, **changes), state=root / "offline"))


def make_sdk(root: Path) -> FeastRetrieval:
    return FeastRetrieval(
        FeastOptions(store=content(root), state=root / "offline", read="sdk", timeout=60)
    )


def days(shop: str, column: str, *numbers: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "shop": shop,
            TIME: [FIRST + timedelta(days=n) for n in numbers],
            column: [float(n) for n in numbers],
        }
    )


def ask(strategy: FeastRetrieval, *shops: str) -> Any:
    return asyncio.run(strategy.context(FEATURES, SCHEMA, [{"shop": s} for s in shops], None))


def fill(strategy: FeastRetrieval) -> None:
    strategy.ingest(FEATURES, "sales", pd.concat([days("a", "y", 0, 1, 2), days("b", "y", 0, 1)]))
    strategy.ingest(FEATURES, "area", pd.concat([days("a", "size", 0), days("b", "size", 0)]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offline_store": {"type": "file"}}, "'file' loses rows"),
        ({"offline_store": {"type": "dask"}}, "'dask' loses rows"),
        ({"offline_store": None}, "the default' loses rows"),
        ({"materialization": {}}, "pull_latest_features: must be true"),
        ({"online_store": {"type": "sqllite"}}, "Feast does not accept it"),
        ({"projekt": 1, "project": "no spaces please"}, "Feast does not accept it"),
    ],
)
def test_a_store_that_would_answer_wrongly_is_refused_before_any_write(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, **changes).ingest(FEATURES, "sales", days("a", "y", 0))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "offline").exists()


def test_late_rows_reach_the_online_store_and_never_push_newer_ones_out(tmp_path: Path) -> None:
    strategy = make(tmp_path)
    fill(strategy)
    assert strategy.materialize(FEATURES, None, None, print) == {"sales": 2, "area": 2}
    strategy.ingest(FEATURES, "sales", pd.concat([days("a", "y", -3), days("c", "y", -2)]))
    strategy.ingest(FEATURES, "area", days("c", "size", -4))
    strategy.materialize(FEATURES, None, None, print)
    context = ask(strategy, "a", "b", "c")
    assert context.status == [OK, OK, OK]
    assert context.past[:, 0, 0].tolist() == [2.0, 1.0, -2.0]


def test_a_window_is_explicit_and_inclusive(tmp_path: Path) -> None:
    strategy = make(tmp_path)
    fill(strategy)
    end = (FIRST + timedelta(days=1)).to_pydatetime()
    assert strategy.materialize(FEATURES, None, end, print) == {"sales": 2, "area": 2}
    assert ask(strategy, "a").past[0, 0].tolist() == [1.0, 0.0]
    assert strategy.materialize(FEATURES, (end + timedelta(hours=1)), None, print) == {
        "sales": 1,
        "area": 0,
    }
    assert ask(strategy, "a", "b").past[:, 0, 0].tolist() == [2.0, 1.0]


def test_a_row_of_another_view_from_after_the_origin_is_no_answer(tmp_path: Path) -> None:
    strategy = make(tmp_path)
    fill(strategy)
    strategy.ingest(FEATURES, "area", days("b", "size", 5))
    strategy.materialize(FEATURES, None, None, print)
    context = ask(strategy, "a", "b")
    assert context.status == [OK, MISSING_FEATURE]
    assert "view 'area': the store holds 2024-01-06" in str(context.detail[1])


def test_standard_output_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strategy, said = make(tmp_path), []
    fill(strategy)
    strategy.materialize(FEATURES, None, None, said.append)
    strategy.training_rows(FEATURES, ["y", "size"])
    assert capsys.readouterr().out == ""
    assert len(said) == 2


def test_another_feature_set_in_the_same_project_stays_registered(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    fill(first)
    other = FeatureSet.model_validate(
        {
            "primary": "returns",
            "views": {"returns": {"entity": ["shop"], "columns": ["n"], "ttl": "1d"}},
        }
    )
    second.ingest(other, "returns", days("a", "n", 0))
    first.materialize(FEATURES, None, None, print)
    second.materialize(other, None, None, print)
    assert {v.name for v in first._store.list_feature_views()} == {"sales", "area", "returns"}
    assert ask(make(tmp_path), "a").status == [OK]


def test_a_changed_ttl_is_registered_before_the_next_join(tmp_path: Path) -> None:
    strategy = make(tmp_path)
    fill(strategy)
    assert strategy.training_rows(FEATURES, ["size"])["size"].notna().all()
    body = FEATURES.model_dump()
    body["views"]["area"]["ttl"] = "1d"
    short = FeatureSet.model_validate(body)
    assert strategy.training_rows(short, ["size"])["size"].isna().tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_the_event_loop_runs_on_and_the_store_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make(tmp_path)
    fill(writer)
    writer.materialize(FEATURES, None, None, print)
    opened: list[int] = []

    def slow_open(content: dict[str, Any]) -> FeatureStore:
        opened.append(threading.get_ident())
        time.sleep(0.3)
        return original(content)

    original = store.open_store
    monkeypatch.setattr(store, "open_store", slow_open)
    server = make_sdk(tmp_path)
    assert not opened  # lazily

    async def serve() -> int:
        ticks, done = (
            0,
            asyncio.gather(
                *(
                    server.context(FEATURES, SCHEMA, [{"shop": "a"}, {"shop": "b"}], None)
                    for _ in range(16)
                )
            ),
        )
        while not done.done():
            ticks += 1
            await asyncio.sleep(0.01)
        assert all(c.past[:, 0].tolist() == [[2.0, 0.0], [1.0, 0.0]] for c in done.result())
        return ticks

    assert asyncio.run(serve()) > 5
    assert len(opened) == 1
    assert opened[0] != threading.get_ident()


@pytest.mark.parametrize(
    ("ttl", "possible"),
    [("P1DT12H", False), ("PT36H", False), ("PT1.5S", False), ("PT12H", True), ("P2D", True)],
)
def test_feasts_own_join_refuses_a_ttl_that_it_cannot_express(
    tmp_path: Path, ttl: str, possible: bool
) -> None:
    body = FEATURES.model_dump()
    body["views"]["area"]["ttl"] = ttl
    features, strategy = FeatureSet.model_validate(body), make(tmp_path)
    strategy.ingest(features, "sales", days("a", "y", 0, 1, 2, 3))
    strategy.ingest(features, "area", days("a", "size", 0))
    joined = strategy.training_rows(features, ["size"])
    assert joined["size"].notna().sum() == 1 + features.views["area"].ttl.days
    reference = FeastRetrieval(strategy.options.model_copy(update={"join": "feast"}))
    if possible:
        pd.testing.assert_frame_equal(reference.training_rows(features, ["size"]), joined)
        return
    with pytest.raises(ConfigError, match=r"features\.views\.area\.ttl"):
        reference.training_rows(features, ["size"])


def test_a_store_without_the_views_says_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run=ingest and run=materialize come first.*sales"):
        ask(make_sdk(tmp_path), "a")
    with pytest.raises(
        DataError, match=r"there is no online store: .* is missing; run=materialize"
    ):
        ask(make(tmp_path), "a")
    with pytest.raises(DataError, match=r"view 'sales' has no rows .*run=ingest"):
        make(tmp_path).training_rows(FEATURES, ["y"])


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\['sise'\] are in no view; Did you mean 'size'"):
        make(tmp_path).training_rows(FEATURES, ["y", "sise"])


def test_offering_the_component_does_not_import_feast() -> None:
    code = (
        "import sys, framework_feast; framework_feast.components(); print([m for m in ('feast', "
        "'pandas', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
