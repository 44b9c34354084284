"""Ingestion gives the same stored rows whether the data came at once or in pieces, in order or
late; positions follow what is stored.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.config.groups import default_node
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.features.views import INSERTED, View
from framework.ingestion.checkpoints import Positions
from framework.ingestion.ingestion import Ingestion
from framework.interfaces.plugin import Component, hookimpl
from framework.interfaces.source import Batch, Source
from framework.options import Options
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.schema import make_needs
from framework.testing import fakes

ENGINEER = [
    {"op": "lag", "columns": ["y"], "steps": [1, 3]},
    {"op": "rolling", "columns": ["y"], "windows": [3], "statistics": ["mean", "std"]},
    {"op": "expanding", "columns": ["y"], "statistics": ["mean", "std"]},
    {"op": "difference", "columns": ["y"], "steps": [2]},
]


class PiecesOptions(Options):
    """``extra``: changes the definition of the source."""

    extra: str = ""


class Pieces(Source):
    """Gives the pieces of ``given`` from the position on, and remembers what was asked and
    stored.
    """

    given: list[pd.DataFrame]
    tables: dict[str, pd.DataFrame]
    log: list[str]

    def read(self, table: str) -> pd.DataFrame:
        self.log.append(f"read {table}")
        return self.tables[table]

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        self.log.append(f"from {position}")
        for i in range(int(position or 0), len(self.given)):
            yield Batch(
                self.given[i],
                position=str(i + 1),
                stored=lambda i=i: self.log.append(f"stored {i}"),
            )

    def fingerprint(self) -> dict[str, str]:
        return {}


class Plugin:
    @hookimpl
    def components(self) -> list[Component]:
        return [Component("source", "pieces", f"{__name__}:Pieces", PiecesOptions)]


PLUGINS: Plugins = load_plugins(extra=[fakes, Plugin()])


def make_run(
    state: Path, gaps: str = "insert", engineer: list[dict] | None = None, extra: str = ""
) -> Run:
    config = make_config(state, gaps, json.dumps(ENGINEER if engineer is None else engineer), extra)
    return Run(config, PLUGINS, state, lambda _: None)


@cache
def make_config(state: Path, gaps: str, engineer: str, extra: str) -> Config:
    """Compose each configuration once: checking one costs ten times what an ingestion does."""
    base = OmegaConf.load(Path(__import__("framework").__file__).parent / "conf" / "framework.yaml")
    view = {"entity": ["s", "t"], "columns": ["y", "kind"], "categories": ["kind"], "ttl": "1d"}
    groups = {
        "source": "pieces",
        "retrieval": "file",
        "preprocessor": "fake",
        "model": "fake",
        "baseline": "fake",
    }
    nodes: dict[str, Any] = {}
    for group, name in groups.items():
        kind = "model" if group == "baseline" else group
        nodes[group] = default_node(name, PLUGINS.find(kind, name).options)
    for group in ("registry", "serving", "tuner", "compute"):
        name = (PLUGINS.names(group) or PLUGINS.missing(group))[0]
        nodes[group] = default_node(name, PLUGINS.find(group, name).options)
    nodes["source"]["extra"] = extra
    features = {
        "primary": "v",
        "views": {"v": {**view, "engineer": json.loads(engineer)}},
    }
    panel = {"targets": ["y"], "frequency": "D", "horizon": 1, "season_length": 7, "gaps": gaps}
    for key in ("defaults", "hydra"):
        del base[key]
    composed = OmegaConf.merge(
        base, nodes, {"paths": {"state": str(state)}, "features": features, "panel": panel}
    )
    return build_config(composed, PLUGINS)


def ingest(
    run: Run, given: list[pd.DataFrame], tables: dict[str, pd.DataFrame] | None = None
) -> Ingestion:
    source = Pieces(run.config.component("source").options)
    source.given, source.tables, source.log = given, tables or {}, []
    ingestion = Ingestion(
        run.config,
        run.say,
        source,
        run.make("retrieval"),
        lambda: make_needs(run.config, run.make("model")),
    )
    ingestion.once(Event())
    return ingestion


def stored(run: Run) -> pd.DataFrame:
    rows: pd.DataFrame = run.make("retrieval").stored_rows(run.config.features, "v")
    return rows


def table(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    """Series, day and value; ``kind`` follows from the day, so that an inserted row shows where it
    took it from.
    """
    frame = pd.DataFrame(rows, columns=["s", "t", "day", "y"])
    frame[TIME] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(
        frame["day"].astype(int), unit="D"
    )
    frame["kind"] = [f"k{day // 4}" for day in frame["day"]]
    return frame.drop(columns="day")


VALUES = st.one_of(st.just(float("nan")), st.integers(-100, 100).map(float))
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 14), VALUES),
    min_size=1,
    max_size=40,
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A state that has nothing, for each example anew: at the same place, so that its configuration
    is checked once.
    """
    root = tmp_path_factory.mktemp("states")

    def state(name: str) -> Path:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
        return root / name

    return state


@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(["insert", "refuse"]))
def test_pieces_in_any_order_are_stored_as_the_whole(
    empty: Callable[[str], Path], rows: list[tuple[str, str, int, float]], random: Any, gaps: str
) -> None:
    """Every key and day once, shuffled and cut: late rows fill gaps, come before a series' first
    row and behind its last.
    """
    distinct = list({row[:3]: row for row in rows}.values())
    random.shuffle(distinct)
    cuts = sorted(random.randrange(len(distinct) + 1) for _ in range(4))
    pieces = [table(distinct[a:b]) for a, b in zip([0, *cuts], [*cuts, len(distinct)], strict=True)]
    one, two = empty("one"), empty("two")
    together, apart = make_run(one, gaps), make_run(two, gaps)
    ingest(together, [table(distinct)])
    ingest(apart, pieces)
    pd.testing.assert_frame_equal(stored(together), stored(apart), check_exact=True)
    counts = ingest(make_run(two, gaps, extra="read it all again"), [table(distinct)]).counts["v"]
    assert (counts.read, counts.stored) == (len(distinct), 0)


def test_a_correction_changes_what_was_computed_from_it_and_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    days = [("a", "x", day, float(day)) for day in range(10)]
    first = ingest(run, [table(days)]).counts["v"]
    assert (first.read, first.stored) == (10, 10)
    again = ingest(make_run(tmp_path, extra="b"), [table([("a", "x", 4, 40.0)])]).counts["v"]
    assert again.stored == 6  # the day itself, and every later one by its expanding statistics
    whole = make_run(tmp_path / "whole")
    ingest(whole, [table([*days[:4], ("a", "x", 4, 40.0), *days[5:]])])
    pd.testing.assert_frame_equal(stored(run), stored(whole), check_exact=True)


def test_a_position_is_kept_behind_the_rows_and_forgotten_with_them(tmp_path: Path) -> None:
    pieces = [table([("a", "x", day, 1.0)]) for day in range(3)]
    run = make_run(tmp_path)
    assert ingest(run, pieces[:2]).source.log == ["from None", "stored 0", "stored 1"]  # type: ignore[attr-defined]
    assert ingest(run, pieces).source.log == ["from 2", "stored 2"]  # type: ignore[attr-defined]
    assert ingest(make_run(tmp_path, engineer=[]), pieces).source.log[0] == "from None"  # type: ignore[attr-defined]  # another definition
    for file in (tmp_path / "offline").glob("*.parquet"):
        file.unlink()
    assert ingest(run, pieces).source.log[0] == "from None"  # type: ignore[attr-defined]


def test_a_batch_that_cannot_be_stored_keeps_its_position(tmp_path: Path) -> None:
    run, good = make_run(tmp_path), table([("a", "x", 0, 1.0)])
    bad = table([("a", "x", 1, 1.0)]).assign(y="many")
    with pytest.raises(DataError, match="view 'v': column 'y' is not numeric"):
        ingest(run, [good, bad])
    assert ingest(run, [good, good]).source.log == ["from 1", "stored 1"]  # type: ignore[attr-defined]
    noon = good.assign(**{TIME: good[TIME] + pd.Timedelta(hours=12)})
    with pytest.raises(DataError, match=r"is not on the D grid"):
        ingest(run, [good, good, noon])


def test_a_damaged_position_is_named(tmp_path: Path) -> None:
    ingest(make_run(tmp_path), [table([("a", "x", 0, 1.0)])])
    (tmp_path / "ingest" / "v.json").write_text("{")
    with pytest.raises(DataError, match=r"v\.json is damaged .* delete it"):
        ingest(make_run(tmp_path), [])


def test_a_joined_table_that_changes_reaches_series_without_new_rows(tmp_path: Path) -> None:
    join = [{"op": "join", "table": "prices", "by": ["s"], "columns": ["price"], "time": "since"}]
    run = make_run(tmp_path, engineer=[*join, {"op": "lag", "columns": ["price"], "steps": [1]}])
    prices = pd.DataFrame({"s": ["a"], "since": ["2024-01-01"], "price": [5.0]})
    rows = table([(s, "x", day, 1.0) for s in "ab" for day in range(3)])
    ingest(run, [rows], {"prices": prices})
    late = pd.DataFrame(
        {"s": ["a", "b"], "since": ["2024-01-02", "2024-01-03"], "price": [6.0, 7.0]}
    )
    counts = ingest(run, [rows], {"prices": pd.concat([prices, late])}).counts["v"]
    assert (counts.read, counts.stored) == (0, 3)
    np.testing.assert_array_equal(stored(run)["price"], [5.0, 6.0, 6.0, np.nan, np.nan, 7.0])
    np.testing.assert_array_equal(
        stored(run)["price_lag_1"], [np.nan, 5.0, 6.0, np.nan, np.nan, np.nan]
    )


def test_a_second_ingestion_of_a_view_says_that_it_waits(tmp_path: Path) -> None:
    import threading

    said: list[str] = []
    positions, entered = Positions(tmp_path), threading.Event()

    def second() -> None:
        with positions.alone("v", said.append):
            entered.set()

    with positions.alone("v", said.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            assert not entered.wait(0.01)
    thread.join(30)
    assert entered.is_set()
    assert "waiting" in said[0]


def versioned(state: Path, extra: str = "") -> Run:
    run = make_run(state, extra=extra)
    features = run.config.features
    view = features.views["v"].model_copy(update={"created": "seen"})
    run.config = run.config.model_copy(
        update={"features": features.model_copy(update={"views": {"v": view}})}
    )
    return run


def known(run: Run, moment: pd.Timestamp) -> pd.DataFrame:
    """What a backtest that asks for what was known then gets."""
    rows = run.make("retrieval").training_rows(
        run.config.features, run.config.features.feature_names(), moment.to_pydatetime()
    )
    return rows.reset_index(drop=True)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.just("x"), st.integers(0, 6), VALUES),
        min_size=2,
        max_size=6,
    ),
    st.integers(1, 3),
)
def test_what_was_known_at_a_moment_is_what_an_ingestion_then_would_have_stored(
    empty: Callable[[str], Path], rows: list[Any], step: int
) -> None:
    """Rows become known one after another, late ones and corrections among them; ``step`` of them
    at a time.
    """
    frame = table(rows)
    frame["seen"] = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(
        np.arange(len(frame)) // step, unit="h"
    )
    moments = frame["seen"].drop_duplicates().tolist()
    one, two = empty("one"), empty("two")
    together, apart = versioned(one), versioned(two)
    ingest(together, [frame])
    ingest(apart, [part for _, part in frame.groupby("seen")])
    pd.testing.assert_frame_equal(stored(together), stored(apart), check_exact=True)
    for moment in moments[:: max(1, len(moments) // 2)]:
        plain = make_run(empty("then"))
        ingest(plain, [frame[frame["seen"] <= moment].drop(columns="seen")])
        expected = stored(plain).reset_index(drop=True).drop(columns=INSERTED)
        pd.testing.assert_frame_equal(
            known(together, moment), expected, check_exact=True, check_dtype=False
        )


def versions_at(rows: list[tuple[int, int, str, float]]) -> pd.DataFrame:
    """Day, hour at which it became known, kind and value, of one series."""
    frame = pd.DataFrame(rows, columns=["day", "hour", "kind", "y"]).assign(s="a", t="x")
    frame[TIME] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    frame["seen"] = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(frame["hour"], unit="h")
    return frame.drop(columns=["day", "hour"])


def assert_pieces_are_the_whole(state: Path, frame: pd.DataFrame) -> pd.DataFrame:
    together, apart = versioned(state / "together"), versioned(state / "apart")
    ingest(together, [frame])
    ingest(apart, [part for _, part in frame.groupby("seen")])
    pd.testing.assert_frame_equal(stored(together), stored(apart), check_exact=True)
    return stored(apart)


def test_a_row_that_only_filled_a_gap_is_no_given_row(tmp_path: Path) -> None:
    nan = float("nan")
    rows = assert_pieces_are_the_whole(
        tmp_path, versions_at([(2, 0, "k0", nan), (6, 1, "k1", nan), (4, 2, "k1", nan)])
    )
    newest = rows.drop_duplicates(TIME, keep="last")
    assert newest["kind"].tolist() == ["k0", "k0", "k1", "k1", "k1"]
    assert newest[INSERTED].tolist() == [0, 1, 0, 1, 0]
    assert rows["seen"].dt.hour.tolist() == [0, 1, 1, 2, 1, 2, 1]


def test_a_given_row_that_looks_inserted_stays_what_was_given(tmp_path: Path) -> None:
    """The row of day 3 has no number and the kind of the day before it, which is then corrected."""
    nan = float("nan")
    given_rows = [(2, 0, "k0", 1.0), (3, 0, "k0", nan), (5, 0, "k0", 2.0), (2, 1, "k1", 1.0)]
    rows = assert_pieces_are_the_whole(tmp_path, versions_at(given_rows))
    newest = rows.drop_duplicates(TIME, keep="last")
    assert newest[["kind", INSERTED]].values.tolist() == [
        ["k1", 0],
        ["k0", 0],
        ["k0", 1],
        ["k0", 0],
    ]
    plain = make_run(tmp_path / "plain")
    for piece in (given_rows[:3], given_rows[3:]):
        ingest(
            make_run(tmp_path / "plain", extra=str(len(piece))),
            [versions_at(piece).drop(columns="seen")],
        )
    assert stored(plain)["kind"].tolist() == ["k1", "k0", "k0", "k0"]


def test_a_given_row_in_the_place_of_an_inserted_one_is_a_version_though_it_says_the_same(
    tmp_path: Path,
) -> None:
    nan = float("nan")
    rows = [(1, 0, "k0", 1.0), (3, 0, "k0", 2.0), (2, 1, "k0", nan), (1, 2, "k1", 1.0)]
    newest = assert_pieces_are_the_whole(tmp_path, versions_at(rows)).drop_duplicates(
        TIME, keep="last"
    )
    assert newest[["kind", INSERTED]].values.tolist() == [["k1", 0], ["k0", 0], ["k0", 0]]


def test_rows_of_a_store_that_did_not_say_which_were_inserted_are_what_they_look_like(
    tmp_path: Path,
) -> None:
    import pyarrow.parquet as pq

    ingest(make_run(tmp_path), [table([("a", "x", 0, 1.0), ("a", "x", 3, 2.0)])])
    (file,) = (tmp_path / "offline").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns([INSERTED]), file)
    assert INSERTED not in stored(make_run(tmp_path))
    ingest(make_run(tmp_path, extra="b"), [table([("a", "x", 1, 5.0)])])
    whole = make_run(tmp_path / "whole")
    ingest(whole, [table([("a", "x", 0, 1.0), ("a", "x", 1, 5.0), ("a", "x", 3, 2.0)])])
    pd.testing.assert_frame_equal(
        stored(make_run(tmp_path)).drop(columns=INSERTED),
        stored(whole).drop(columns=INSERTED),
        check_exact=True,
    )


@pytest.mark.parametrize("time", [None, "since"])
def test_a_join_that_describes_nothing_is_said_with_the_keys_of_both_sides(
    tmp_path: Path, time: str | None
) -> None:
    join = [{"op": "join", "table": "prices", "by": ["s"], "columns": ["price"], "time": time}]
    rows = table([(s, "x", day, 1.0) for s in "ab" for day in range(3)])

    def warnings(folder: str, keys: list[str], since: str = "2024-01-01") -> list[str]:
        prices = pd.DataFrame({"s": keys, "since": since, "price": 5.0})
        return ingest(
            make_run(tmp_path / folder, engineer=join), [rows], {"prices": prices}
        ).warnings

    assert warnings("other", ["A", "B"]) == [
        "ingest: v: join of 'prices' describes 0 of 6 rows: it has no row for {'s': 'a'}, "
        "{'s': 'b'}, "
        "and its own {'s': 'A'}, {'s': 'B'} match none"
    ]
    assert warnings("one", ["a", "B"]) == [
        "ingest: v: join of 'prices' describes 3 of 6 rows: it has no row for {'s': 'b'}, "
        "and its own {'s': 'B'} match none"
    ]
    assert warnings("fewer", ["a"]) == warnings("more", ["a", "b", "c"]) == []
    if time is not None:
        (line,) = warnings("later", ["a", "b"], "2034-01-01")
        assert line.endswith(
            "describes 0 of 6 rows: the keys match, its times or its ttl do not, or its "
            "columns are null"
        )
