"""The door of the panel: what is refused, in which words; how gaps are filled; what a context
sees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.fingerprint import panel_digest
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, SHORT_HISTORY, UNKNOWN_ENTITY
from framework.errors import DataError
from framework.testing.fakes import make_schema
from framework.testing.panels import make_panel


def _rows(series: dict[str, list[str]], start: float = 0.0) -> pd.DataFrame:
    """One row for each time, ``y`` counting up from ``start``."""
    pairs = [(shop, time) for shop, times in series.items() for time in times]
    return pd.DataFrame(
        {
            "shop": [shop for shop, _ in pairs],
            "event_timestamp": pd.to_datetime(
                [time for _, time in pairs], utc=True, format="ISO8601"
            ),
            "y": start + np.arange(len(pairs), dtype=float),
            "kind": [f"kind of {shop}" for shop, _ in pairs],
        }
    )


def _days(first: str, count: int) -> list[str]:
    return [str(np.datetime64(first) + i) for i in range(count)]


def _panel(rows: pd.DataFrame, frequency: str = "D", **more: Any) -> Panel:
    given_: dict[str, Any] = {
        "entity_keys": ("shop",),
        "past": ("y",),
        "known": (),
        "categories": ("kind",),
        **more,
    }
    return panel_from_rows(rows, frequency=Frequency.parse(frequency), **given_)


FULL = _rows({"a": _days("2024-01-01", 5), "b": _days("2024-01-03", 4)})


def _without(rows: pd.DataFrame, *positions: int) -> pd.DataFrame:
    return rows.drop(index=list(positions)).reset_index(drop=True)


def _with_text(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(y=["many" if i == 2 else str(v) for i, v in enumerate(rows["y"])])


REFUSALS = {
    "missing column": (
        FULL.drop(columns="y"),
        "D",
        "panel: missing columns ['y']; the rows have ['shop', 'event_timestamp', 'kind'].",
    ),
    "no rows": (
        FULL.iloc[:0],
        "D",
        "panel: no rows; ingest a source that has some, or look at its filters.",
    ),
    "undated": (
        FULL.assign(event_timestamp=FULL["event_timestamp"].where(FULL.index != 1)),
        "D",
        "panel: 1 rows without an event_timestamp; remove or date them.",
    ),
    "no time": (
        FULL.assign(event_timestamp="Tuesday"),
        "D",
        "panel: event_timestamp is not a time (Time data Tuesday is not ISO8601 format, at "
        "position 0); give ISO 8601, UTC.",
    ),
    "text in a number": (
        _with_text(FULL),
        "D",
        "panel: column 'y' is not numeric (could not convert string to float: 'many'); "
        "declare it under categories or mend it.",
    ),
    "duplicate": (
        FULL.iloc[[0, 1, 1, 2]],
        "D",
        "panel: duplicate event_timestamp 2024-01-02T00:00:00.000000 in series {shop: a} "
        "(row 2, 1 in all); keep one row a step.",
    ),
    "an hour of a clock that stands twice": (
        _rows({"a": ["2024-10-27T02:00", "2024-10-27T02:00"]}),
        "h",
        "panel: duplicate event_timestamp 2024-10-27T02:00:00.000000 in series {shop: a} "
        "(row 1, 1 in all); keep one row a step; a clock that is put back needs the table's "
        "time_zone.",
    ),
    "weeks that end on another weekday": (
        _rows({"a": ["2024-01-07", "2024-01-14"]}),
        "W-MON",
        "panel: 2024-01-07T00:00:00.000000 in series {shop: a} is not the midnight of the weekday "
        "that ends a step of W-MON; it is of a SUN, for which set panel.frequency=W-SUN.",
    ),
    "unsorted times": (
        FULL.iloc[[0, 2, 1]],
        "D",
        "panel: unsorted event_timestamp 2024-01-02T00:00:00.000000 in series {shop: a} "
        "(row 2, 1 in all); "
        "sort by entity and event_timestamp.",
    ),
    "interleaved series": (
        FULL.iloc[[0, 5, 1]],
        "D",
        "panel: unsorted: series {shop: a} begins again at row 2; sort by entity and "
        "event_timestamp.",
    ),
    "gap": (
        _without(FULL, 2),
        "D",
        "panel: gap in series {shop: a}: nothing between 2024-01-02T00:00:00.000000 and "
        "2024-01-04T00:00:00.000000 at frequency D, "
        "1 step missing (1 in all gaps); add the steps or set panel.gaps=insert.",
    ),
    "gap in the second series": (
        _without(FULL, 6),
        "D",
        "panel: gap in series {shop: b}: nothing between 2024-01-03T00:00:00.000000 and "
        "2024-01-05T00:00:00.000000 at frequency D, "
        "1 step missing (1 in all gaps); add the steps or set panel.gaps=insert.",
    ),
    "off the grid": (
        _rows({"a": ["2024-01-01", "2024-01-02T06:00"]}),
        "D",
        "panel: 2024-01-02T06:00:00.000000 in series {shop: a} is not on the D grid that "
        "begins 2024-01-01T00:00:00.000000; "
        "mend it or set panel.frequency.",
    ),
    "off a month grid": (
        _rows({"a": ["2024-01-01", "2024-02-02"]}),
        "MS",
        "panel: 2024-02-02T00:00:00.000000 in series {shop: a} is not the first day of a "
        "month at midnight, as MS labels a month; "
        "for last days set panel.frequency=ME, for other days truncate them in a query.",
    ),
    "a month start at month ends": (
        _rows({"a": ["2024-01-31", "2024-02-29", "2024-03-01"]}),
        "ME",
        "panel: 2024-03-01T00:00:00.000000 in series {shop: a} is not the last day of a "
        "month at midnight, as ME labels a month.",
    ),
    "a quarter of another anchor": (
        _rows({"a": ["2024-01-31", "2024-04-30", "2024-06-30"]}),
        "QE",
        "panel: 2024-06-30T00:00:00.000000 in series {shop: a} is not on the QE grid that "
        "begins 2024-01-31T00:00:00.000000; "
        "mend it or set panel.frequency.",
    ),
    "gap of months": (
        _rows({"a": ["2024-01-01", "2024-02-01", "2024-04-01"]}),
        "MS",
        "panel: gap in series {shop: a}: nothing between 2024-02-01T00:00:00.000000 and "
        "2024-04-01T00:00:00.000000 at frequency MS, "
        "1 step missing (1 in all gaps); add the steps or set panel.gaps=insert.",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_what_which_and_what_next(name: str) -> None:
    rows, frequency, message = REFUSALS[name]
    with pytest.raises(DataError) as caught:
        _panel(rows, frequency)
    assert str(caught.value) == message
    assert "\n" not in message


def test_rows_become_arrays_by_series() -> None:
    panel = _panel(FULL)
    assert panel.offsets.tolist() == [0, 5, 9]
    assert panel.entities.tolist() == [["a"], ["b"]]
    assert panel.times[5] == np.datetime64("2024-01-03")
    assert panel.times.dtype == "M8[us]"
    assert panel.past[:, 0].tolist() == list(range(9))
    assert panel.static[6].tolist() == ["b", "kind of b"]
    assert panel.static_names == ("shop", "kind")


def test_times_with_an_offset_are_utc() -> None:
    rows = FULL.iloc[:2].assign(
        event_timestamp=["2024-01-01T02:00+02:00", "2024-01-02T02:00+02:00"]
    )
    assert _panel(rows).times.tolist() == np.array(["2024-01-01", "2024-01-02"], "M8[us]").tolist()


def test_inserted_steps_are_null_and_carry_their_series_texts() -> None:
    panel = _panel(_without(FULL, 1, 2, 7), gaps="insert")
    assert panel.times.tolist() == _panel(FULL).times.tolist()
    assert np.flatnonzero(np.isnan(panel.past[:, 0])).tolist() == [1, 2, 7]
    assert panel.static.tolist() == _panel(FULL).static.tolist()
    assert panel.offsets.tolist() == [0, 5, 9]


@given(
    kept=st.lists(st.lists(st.booleans(), min_size=2, max_size=12), min_size=1, max_size=4),
    frequency=st.sampled_from(["D", "h", "15min", "W", "MS", "QS", "YS", "2MS", "ME", "QE", "YE"]),
)
def test_insert_gives_back_exactly_the_full_grid(kept: list[list[bool]], frequency: str) -> None:
    """Drop any inner rows of full grids: inserting restores the grid, keeps every number, adds only
    nulls.
    """
    step = Frequency.parse(frequency)
    first = np.datetime64("2020-01-01", "us")
    series = {}
    for i, keep in enumerate(kept):
        full = step.shift(np.repeat(first, len(keep)), np.arange(len(keep)))
        inner = np.array(keep)
        inner[[0, -1]] = True
        series[f"s{i}"] = [str(time) for time in full[inner]]
    rows = _rows(series)
    panel = _panel(rows, frequency, gaps="insert")
    assert np.diff(panel.offsets).tolist() == [len(keep) for keep in kept]
    known = ~np.isnan(panel.past[:, 0])
    assert panel.past[known, 0].tolist() == rows["y"].tolist()
    assert (
        panel.times[known].tolist()
        == rows["event_timestamp"].dt.tz_localize(None).to_numpy().astype("M8[us]").tolist()
    )
    for start, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        assert (step.shift(panel.times[start : stop - 1], 1) == panel.times[start + 1 : stop]).all()


def test_to_rows_gives_the_rows_back() -> None:
    again = _panel(FULL).to_rows()
    pd.testing.assert_frame_equal(again[FULL.columns], FULL, check_dtype=False)


def test_until_and_between_keep_their_ends_and_drop_empty_series() -> None:
    panel = _panel(FULL)
    before = panel.until(np.datetime64("2024-01-02"))
    assert (before.entities.tolist(), before.offsets.tolist()) == ([["a"]], [0, 2])
    after = panel.between(np.datetime64("2024-01-05"), np.datetime64("2024-01-06"))
    assert (after.past[:, 0].tolist(), after.offsets.tolist()) == ([4, 7, 8], [0, 1, 3])
    inner = panel.between(np.datetime64("2024-01-02"), np.datetime64("2024-01-03"))
    assert (inner.past[:, 0].tolist(), inner.offsets.tolist()) == ([1, 2, 5], [0, 2, 3])
    assert len(panel.until(np.datetime64("2023-01-01"))) == 0


def test_rows_at_times_are_minus_one_where_there_are_none() -> None:
    panel = _panel(FULL)
    series = panel.series_of([("b",), ("zzz",), ("a",)])
    assert series.tolist() == [1, -1, 0]
    days = np.array(["2024-01-01", "2024-01-05", "2024-01-06", "2024-01-05T12:00"], "M8[us]")
    assert panel.rows_at(series[:, None], days).tolist() == [
        [-1, 7, 8, -1],
        [-1, -1, -1, -1],
        [0, 4, -1, -1],
    ]
    assert panel.until(np.datetime64("2023-01-01")).rows_at(np.array([-1]), days).tolist() == [
        -1,
        -1,
        -1,
        -1,
    ]


def test_origins_at_a_time() -> None:
    panel = _panel(FULL)
    for day, expected in (("02", ["a"]), ("03", ["a", "b"]), ("06", ["b"])):
        entities, origins = panel.origins_at(np.datetime64(f"2024-01-{day}"))
        assert entities.ravel().tolist() == expected
        assert (origins == np.datetime64(f"2024-01-{day}")).all()


def test_series_of_other_anchors_have_origins_of_their_own() -> None:
    mondays, sundays = (
        ["2024-01-01", "2024-01-08", "2024-01-15"],
        ["2024-01-07", "2024-01-14", "2024-01-21"],
    )
    panel = _panel(_rows({"a": mondays, "b": sundays}), "W")
    for time, expected in (
        ("2024-01-14", {"a": "2024-01-08", "b": "2024-01-14"}),
        ("2024-01-21", {"a": "2024-01-15", "b": "2024-01-21"}),
        ("2024-01-06", {"a": "2024-01-01"}),
        ("2024-01-22", {"b": "2024-01-21"}),
    ):
        entities, origins = panel.origins_at(np.datetime64(time))
        assert (
            dict(zip(entities.ravel(), origins.astype("M8[D]").astype(str), strict=True))
            == expected
        )


def _schema(length: int) -> Schema:
    return make_schema(
        entity_keys=("shop",),
        targets=("y",),
        past=("y",),
        nullable=(),
        static=("shop", "kind"),
        horizon=2,
        context_length=length,
    )


def test_context_ends_at_the_origin_and_says_why_not() -> None:
    context = _panel(FULL).context(
        _schema(3), [("a",), ("b",), ("zzz",)], np.datetime64("2024-01-04")
    )
    assert context.status == [OK, SHORT_HISTORY, UNKNOWN_ENTITY]
    assert context.past[0, :, 0].tolist() == [1, 2, 3]
    assert context.detail == [None, "2 steps of history, 3 needed", "no rows for {'shop': 'zzz'}"]
    gone = _panel(FULL).context(_schema(1), [("a",)], np.datetime64("2024-02-01"))
    assert gone.status == [MISSING_FEATURE]
    assert gone.detail == [
        "no row at 2024-02-01T00:00:00.000000; the series has 2024-01-01T00:00:00.000000 to "
        "2024-01-05T00:00:00.000000"
    ]


def test_context_without_an_origin_takes_each_series_last_step() -> None:
    context = _panel(FULL).context(_schema(1), [("b",), ("a",)], None)
    assert context.origins.tolist() == np.array(["2024-01-06", "2024-01-05"], "M8[us]").tolist()
    assert context.past[:, 0, 0].tolist() == [8, 4]


def test_known_columns_reach_beyond_the_origin_past_columns_do_not() -> None:
    rows = FULL.assign(promo=np.arange(9) * 10.0)
    panel = _panel(rows, known=("promo",))
    schema = _schema(2).model_copy(update={"known": ("promo",), "horizon": 3})
    context = panel.context(schema, [("a",)], np.datetime64("2024-01-03"))
    assert context.past[0, :, 0].tolist() == [1, 2]
    assert context.known[0, :2, 0].tolist() == [30, 40]
    assert np.isnan(context.known[0, 2, 0])


def test_a_fingerprint_is_the_one_that_recorded_pairs_have() -> None:
    panel = make_panel()
    assert panel_digest(panel) == "27254e70a1a6e397314cd3b07c3a7efb"
    static = panel.static.copy()
    static[3:9, 0], static[5, 0] = None, ""
    assert panel_digest(replace(panel, static=static)) == "a0e83cb104c5b9b878926c0989cb08f3"
