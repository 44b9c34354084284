"""Categories are matched with what training saw, and times with the grids that it lay on."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from framework.data.anchors import MOST_ANCHORS, find_anchors, off_grid
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.known_values import (
    MOST_VALUES,
    KnownValues,
    known_values,
    unseen_in_folds,
    without_list,
)
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, TIME
from framework.errors import DataError
from framework.pairs.fit import fit_pair
from framework.retrieval.rows_file import RowsFile
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.validation import Entities, EntityPeek, Payload
from framework.testing.fakes import FakeModel, FakePreprocessor

MATCHES: list[tuple[list[str], str, str | None]] = [
    (["true", "false"], "True", "true"),
    (["True", "False"], "true", "True"),
    (["true", "false"], "1", "true"),
    (["true", "false"], "no", "false"),
    (["yes", "no"], "Yes", "yes"),
    (["yes", "no"], "true", "yes"),
    (["Y", "N"], "n", "N"),
    (["0", "1"], "true", "1"),
    (["1"], "true", None),
    (["0", "1", "2"], "true", None),
    (["no", "se"], "false", None),
    (["yes", "true"], "1", None),
    (["2", "3"], "2.0", "2"),
    (["1.0", "2.0"], "2", "2.0"),
    (["02", "3"], "2", "02"),
    (["02", "2"], "2.0", None),
    (["1e2"], "100", None),
    (["small", "large"], "Small", None),
    (["2"], "²", None),
]


@pytest.mark.parametrize(("known", "text", "match"), MATCHES)
def test_another_spelling_is_the_known_value(
    known: list[str], text: str, match: str | None
) -> None:
    schema = _schema({"kind": tuple(known)})
    context = KnownValues(schema).match(_context(["a", text], [*["a"], known[0]]))
    assert context.static[:, 1].tolist() == [text if match is None else match, known[0]]
    assert context.unseen == ({"kind": 1} if match is None else {})
    assert context.status == [OK, OK]
    assert context.detail == [None if match else f"kind: '{text}' was not seen in training", None]
    assert KnownValues(schema).match(context) is context


def test_null_is_seen_where_training_had_nulls() -> None:
    nullable, never = _schema({"kind": ("k",)}, nullable=("kind",)), _schema({"kind": ("k",)})
    assert KnownValues(nullable).match(_context(["a", None])).unseen == {}
    assert KnownValues(never).match(_context(["a", None])).detail == [
        "kind: null was not seen in training"
    ]


def test_a_column_with_too_many_values_is_not_listed() -> None:
    panel = _panel([f"k{i}" for i in range(MOST_VALUES + 1)])
    values = known_values(panel)
    assert values == {"kind": None}
    schema = _schema(values)
    assert KnownValues(schema).match(_context(["a", "never"])).unseen == {}
    assert "'kind' has more than 10,000 values" in without_list(schema)[0]


def test_a_fitted_pair_knows_its_values_and_grids() -> None:
    panel = _panel(["b", None, "a", "b"])
    pair = fit_pair(panel, _schema({}), FakePreprocessor(None), FakeModel(None), 0, 1)
    assert pair.schema.categories == {"kind": ("a", "b")}
    assert pair.schema.anchors == ("2024-03-01T00:00:00Z",)


def test_windows_whose_value_no_earlier_row_had_are_counted() -> None:
    panel = _panel(["a", None, "a", "b", "b", None])
    entities = np.array([["a"]] * 4, dtype=object)
    origins = np.datetime64("2024-03-01", "us") + np.array([1, 3, 4, 9]) * np.timedelta64(1, "D")
    assert unseen_in_folds(panel, entities, origins, origins) == []
    (line,) = unseen_in_folds(panel, entities, origins, origins - np.timedelta64(1, "D"))
    assert line.startswith("category 'kind': 2 of 3 windows")


def test_a_request_says_a_category_in_any_type() -> None:
    payload = Payload(_schema({}, nullable=("kind",)), 10)
    kinds = ["b", 2, 2.0, True, None, 10**20]
    rows = [{"shop": 7, "kind": kind, TIME: "2024-03-01", "y": 1.0} for kind in kinds]
    expected = [["7", text] for text in ("b", "2", "2", "true", None, "100000000000000000000")]
    assert payload.context(orjson.dumps({"rows": rows[:-1]})).static.tolist() == expected[:-1]
    columns = b'{"columns": {"shop": [false], "kind": [100000000000000000000], "event_timestamp": ["2024-03-01"], "y": [1]}}'  # noqa: E501
    assert payload.context(columns).static.tolist() == [["false", expected[-1][1]]]


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ({"shop": 2.5}, "rows[0].shop"),
        ({"shop": None}, "rows[0].shop"),
        ({"kind": None}, "rows[0].kind"),
    ],
)
def test_what_is_no_key_or_was_never_null_is_refused(row: dict[str, Any], path: str) -> None:
    body = {"shop": "a", "kind": "b", TIME: "2024-03-01", "y": 1.0, **row}
    with pytest.raises(Refusal) as refused:
        Payload(_schema({}), 10).context(orjson.dumps({"rows": [body]}))
    assert (refused.value.status, refused.value.path) == (422, path)


def test_a_lookup_and_a_peek_have_the_same_texts() -> None:
    schema = _schema({})
    assert Entities(schema, 9).one(b'{"entity": {"shop": 7}}').entities == [{"shop": "7"}]
    assert Entities(schema, 9).many(b'{"entities": [{"shop": true}, {"shop": 3.0}]}').entities == [
        {"shop": "true"},
        {"shop": "3"},
    ]
    assert EntityPeek(("shop",)).first(b'{"rows": [{"shop": 7, "kind": null}]}') == ("7",)


GRIDS = [
    ("D", ["2024-03-01"], ["2024-02-01", "2030-01-01"], ["2024-03-01T13:37"]),
    ("15min", ["2024-03-01T00:05"], ["2024-03-01T00:20"], ["2024-03-01T00:15"]),
    ("W", ["2024-03-04", "2024-03-10", "2024-03-11"], ["2024-03-17", "2024-02-26"], ["2024-03-12"]),
    ("MS", ["2024-03-01"], ["2023-01-01"], ["2024-03-31", "2024-03-01T01:00"]),
    ("ME", ["2024-02-29"], ["2023-01-31"], ["2024-03-30", "2024-03-01"]),
    ("QS", ["2024-02-01"], ["2024-05-01"], ["2024-04-01"]),
]


@pytest.mark.parametrize(
    ("frequency", "firsts", "on", "off"), GRIDS, ids=[grid[0] for grid in GRIDS]
)
def test_a_time_is_on_a_grid_of_training_or_refused(
    frequency: str, firsts: list[str], on: list[str], off: list[str]
) -> None:
    anchors = find_anchors(Frequency.parse(frequency), np.array(firsts, "M8[us]"))
    schema = _schema({}, anchors=anchors, frequency=frequency)
    assert off_grid(schema, np.array([*on, *off], "M8[us]")).tolist() == [False] * len(on) + [
        True
    ] * len(off)
    row = {"shop": "a", "kind": "b", "y": 1.0}
    for door, path in ((_predict, f"rows[0].{TIME}"), (_look_up, "at")):
        door(schema, row, on[0])
        with pytest.raises(Refusal) as refused:
            door(schema, row, off[0])
        assert (refused.value.status, refused.value.path) == (422, path)
        assert f"steps of {frequency}" in refused.value.message


def _predict(schema: Schema, row: dict[str, Any], time: str) -> None:
    Payload(schema, 10).context(orjson.dumps({"rows": [{**row, TIME: time}]}))


def _look_up(schema: Schema, row: dict[str, Any], time: str) -> None:
    Entities(schema, 10).one(orjson.dumps({"entity": {"shop": row["shop"]}, "at": time}))


def test_weeks_of_two_days_are_two_grids_and_too_many_are_none() -> None:
    week = Frequency.parse("W")
    assert find_anchors(week, np.array(["2024-03-04", "2024-03-10", "2024-03-18"], "M8[us]")) == (
        "2024-03-04T00:00:00Z",
        "2024-03-10T00:00:00Z",
    )
    minutes = np.datetime64("2024-03-04", "us") + np.arange(MOST_ANCHORS + 1) * np.timedelta64(
        1, "m"
    )
    assert find_anchors(week, minutes) == ()


def test_a_file_of_rows_says_the_same(tmp_path: Any) -> None:
    schema = _schema({}, anchors=("2024-03-01T00:00:00Z",))
    frame = pd.DataFrame(
        {
            "shop": [7, 8],
            "kind": pd.array([2, None], "Int64"),
            TIME: pd.to_datetime(["2024-03-01"] * 2),
            "y": 1.0,
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    context = RowsFile(tmp_path / "rows.parquet", schema).context((0, 2))
    assert context.static.tolist() == [["7", "2"], ["8", None]]
    assert (context.status, context.detail[1]) == ([OK, MISSING_FEATURE], "kind is null")
    frame.assign(**{TIME: pd.Timestamp("2024-03-01T13:37")}).to_parquet(tmp_path / "off.parquet")
    with pytest.raises(
        DataError, match=f"row 0, column {TIME}: 2024-03-01T13:37:00Z is not on the grid"
    ):
        RowsFile(tmp_path / "off.parquet", schema).context((0, 2))


def _panel(kinds: list[str | None]) -> Panel:
    times = pd.date_range("2024-03-01", periods=len(kinds), freq="D", tz="UTC")
    rows = pd.DataFrame(
        {
            "shop": "a",
            TIME: times,
            "y": np.arange(float(len(kinds))),
            "kind": pd.Series(kinds, dtype=object),
        }
    )
    return panel_from_rows(
        rows,
        entity_keys=("shop",),
        past=("y",),
        known=(),
        categories=("kind",),
        frequency=Frequency.parse("D"),
    )


def _schema(categories: dict[str, Any], **changed: Any) -> Schema:
    fields: dict[str, Any] = {
        "name": "t",
        "entity_keys": ("shop",),
        "frequency": "D",
        "targets": ("y",),
        "past": ("y",),
        "nullable": (),
        "known": (),
        "static": ("shop", "kind"),
        "horizon": 1,
        "context_length": 1,
        "quantiles": (),
        "categories": categories,
    }
    return Schema(**{**fields, **changed})


def _context(*rows: list[str | None]) -> Context:
    n = len(rows)
    times = np.full(n, np.datetime64("2024-03-01", "us"))
    static = np.empty((n, 2), dtype=object)
    static[:] = rows
    return Context(times, np.ones((n, 1, 1)), np.ones((n, 1, 0)), static, [OK] * n, [None] * n)
