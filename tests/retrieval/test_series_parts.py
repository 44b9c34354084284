"""The rows of a store are read in parts of whole series, into memory or into mapped files: the same
panel, the same pairs and the same backtest, byte for byte.
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.config.sections import BacktestConfig
from framework.data import scratch
from framework.data.fingerprint import panel_digest
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.scratch import IN_MEMORY, Scratch
from framework.data.texts import CodedTexts
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.evaluation.backtest import Setting, run_backtest
from framework.features.views import FeatureSet
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.retrieval import RetrievalStrategy
from framework.options import Options, validate
from framework.pairs import pair
from framework.pairs.fit import fit_pair
from framework.plugins.compute import LocalCompute
from framework.plugins.discovery import load_plugins
from framework.retrieval import parquet_writer, stored_panel
from framework.retrieval.stored_panel import Columns
from framework.testing.fakes import make_schema

PLUGINS = load_plugins()
FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "stale": "flag",
        "views": {
            "sales": {
                "entity": ["shop", "item"],
                "columns": ["y", "lag", "kind"],
                "categories": ["kind"],
                "created": "seen",
                "ttl": "1d",
            },
            "plan": {"entity": ["shop", "item"], "columns": ["promo"], "ttl": "1d"},
            "weather": {
                "entity": ["shop"],
                "columns": ["temp", "sky"],
                "categories": ["sky"],
                "ttl": "2d",
            },
        },
    }
)
COLUMNS = Columns(
    ("y",), ("y", "lag", "temp"), ("promo",), ("kind", "sky"), Frequency.parse("D"), 3
)
SCHEMA = make_schema(
    entity_keys=("shop", "item"),
    targets=("y",),
    past=COLUMNS.past,
    nullable=("y", "lag", "temp", "kind", "sky"),
    known=("promo",),
    static=("shop", "item", "kind", "sky"),
    horizon=3,
    quantiles=(),
)
SHOPS, DAYS = 7, 60


def tables() -> dict[str, pd.DataFrame]:
    """Two items in each of seven shops; one item has no actual, some have a gap, one shop has no
    weather, and a plan goes on behind the actuals.
    """
    generator = np.random.default_rng(3)
    sales, plan, weather = [], [], []
    for shop in range(SHOPS):
        for item in "ab":
            length = DAYS - 3 * shop
            days = pd.date_range("2024-01-01", periods=length + 4, tz="UTC")
            key = {"shop": f"s{shop}", "item": item}
            y = 10.0 * (shop + 1) + generator.normal(size=length)
            row = {"y": y, "lag": np.append(np.nan, y[:-1]), "kind": None if shop == 2 else item}
            one = pd.DataFrame({**key, TIME: days[:length], **row, "seen": days[:length]})
            one.loc[3, "y"] = np.nan if shop == 4 else one.loc[3, "y"]
            one["y"] = np.nan if (shop, item) == (5, "b") else one["y"]
            sales.append(one.drop(index=[10, 11]) if shop % 3 == 1 else one)
            plan.append(
                pd.DataFrame({**key, TIME: days, "promo": generator.normal(size=len(days))})
            )
        if shop != 3:
            some = days[: length // 2]
            columns = {TIME: some, "temp": generator.normal(size=len(some)), "sky": f"sky {shop}"}
            weather.append(pd.DataFrame({"shop": f"s{shop}", **columns}))
    return {"sales": pd.concat(sales), "plan": pd.concat(plan), "weather": pd.concat(weather)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RetrievalStrategy:
    """A store whose files have many row groups."""
    monkeypatch.setattr(parquet_writer, "ROW_GROUP", 64)
    options = validate(PLUGINS.find("retrieval", "file").options, {"state": tmp_path}, "retrieval")
    strategy: RetrievalStrategy = PLUGINS.load("retrieval", "file")(options)
    for view, rows in tables().items():
        with strategy.ingesting(FEATURES, view) as add:
            add(rows)
    return strategy


@pytest.fixture
def read(store: RetrievalStrategy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Panel]:
    def panel(part: int, place: Scratch, **changes: Any) -> Panel:
        monkeypatch.setattr(stored_panel, "PART", part)
        return stored_panel.stored_panel(
            store, FEATURES, COLUMNS, **{"gaps": "insert", **changes}, scratch=place
        )

    return panel


def expect_same(one: Any, other: Any, where: str = "panel") -> None:
    if isinstance(other, CodedTexts):
        other = np.asarray(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        assert one.shape == other.shape, where
        if one.dtype == object:
            assert one.tolist() == other.tolist(), where
        else:
            assert one.tobytes() == other.tobytes(), where
    elif isinstance(one, Panel):
        for field in fields(Panel):
            if field.name != "scratch":
                inner = getattr(one, field.name), getattr(other, field.name)
                expect_same(*inner, f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            expect_same(one[key], other[key], f"{where}.{key}")
    else:
        assert one == other, where


def of_file(array: np.ndarray) -> bool:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array.base, mmap.mmap)


@pytest.mark.parametrize("part", [200, 1])
def test_the_panel_does_not_depend_on_the_parts(
    part: int, read: Callable[..., Panel], tmp_path: Path
) -> None:
    whole = read(10**9, IN_MEMORY)
    assert len(whole.entities) == 2 * SHOPS - 1
    assert whole.ageless is not None
    assert whole.held["sales"] is not whole.times  # some steps were inserted
    for place in (IN_MEMORY, Scratch(tmp_path)):
        panel = read(part, place)
        expect_same(whole, panel)
        assert panel_digest(panel) == panel_digest(whole)
        arrays = (panel.times, panel.past, panel.known, panel.held["weather"], panel.ahead)
        assert {of_file(array) for array in arrays} == {place is not IN_MEMORY}
        expect_same(whole, pickle.loads(pickle.dumps(panel)))  # as a worker gets it
        half = whole.until(whole.times[40])
        expect_same(half, panel.until(whole.times[40]))
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".parquet", ".lock")]


def test_what_was_known_then_is_read_by_parts_too(read: Callable[..., Panel]) -> None:
    then = pd.Timestamp("2024-01-20", tz="UTC").to_pydatetime()
    whole = read(10**9, IN_MEMORY, known_at=then)
    expect_same(whole, read(40, IN_MEMORY, known_at=then))
    before = pd.Timestamp("2023-01-01", tz="UTC").to_pydatetime()
    with pytest.raises(DataError, match=r"as_known: no row was known at 2023-01-01"):
        read(40, IN_MEMORY, known_at=before)


def test_an_error_says_whose_rows_it_counts(read: Callable[..., Panel]) -> None:
    with pytest.raises(DataError, match=r"gap in series .* \(part 2 of \d+, counts are of its ro"):
        read(100, IN_MEMORY, gaps="refuse")


def test_a_store_that_is_replaced_meanwhile_gives_the_rows_of_the_beginning(
    store: RetrievalStrategy, read: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = read(10**9, IN_MEMORY), store.parts

    @contextmanager
    def replaced(features: FeatureSet, rows: int) -> Iterator[Any]:
        with parts(features, rows) as opened:
            changed = tables()["sales"].assign(y=1.0)
            store.ingest(FEATURES, "sales", changed)
            yield opened

    monkeypatch.setattr(store, "parts", replaced)
    expect_same(whole, read(100, IN_MEMORY))
    assert panel_digest(read(100, IN_MEMORY)) != panel_digest(whole)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"paths.state: the disk of .* has no room for"):
        Scratch(tmp_path).empty((2**50,), np.float64)


def component(kind: str, name: str, **options: Any) -> Any:
    values = validate(PLUGINS.find(kind, name).options, options, kind)
    return PLUGINS.load(kind, name)(values)


def parts_of_a_pair(model: Callable[[], Model]) -> tuple[Preprocessor, Model]:
    past = [{"step": "impute", "columns": ["temp"]}]
    return component("preprocessor", "native", past=past), model()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("xgboost", {"n_estimators": 4, "n_jobs": 1}),
        ("lightgbm", {"n_estimators": 4, "n_jobs": 1, "min_child_samples": 5}),
        ("seasonal_naive", {"season_length": 7}),
    ],
)
def test_pairs_and_backtests_do_not_depend_on_it(
    name: str,
    options: dict[str, Any],
    read: Callable[..., Panel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = partial(component, "model", name, **options)

    def outcome(panel: Panel, folder: Path) -> dict[str, bytes]:
        setting = Setting(
            panel,
            SCHEMA.model_copy(update={"context_length": model().context_length(7)}),
            partial(parts_of_a_pair, model),
            partial(component, "model", "seasonal_naive", season_length=7),
            7,
            0,
            1,
            features=FEATURES,
        )
        result = run_backtest(setting, BacktestConfig(folds=2), LocalCompute(Options()), print)
        fitted = fit_pair(panel, setting.schema, *setting.make(), 3, 1)
        folder.mkdir()
        fitted.model.save(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return {**files, "backtest": result.table().to_csv().encode()}

    whole = outcome(read(10**9, IN_MEMORY), tmp_path / "whole")
    monkeypatch.setattr(scratch, "BLOCK", 70)
    monkeypatch.setattr(pair, "BLOCK", 70)
    assert len(whole["backtest"]) > 1000
    assert outcome(read(200, IN_MEMORY), tmp_path / "parts") == whole
    assert outcome(read(200, Scratch(tmp_path)), tmp_path / "mapped") == whole
