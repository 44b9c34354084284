"""Which windows may be forecast from: one rule, checked here value by value."""

from __future__ import annotations

import numpy as np
import pytest

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, SHORT_HISTORY, STALE
from framework.features.views import FeatureSet
from framework.retrieval.freshness import absent_origin, check_context

FEATURES = FeatureSet.model_validate(
    {
        "primary": "v",
        "views": {
            "v": {"entity": ["s"], "columns": ["y", "k"], "ttl": "1d"},
            "w": {
                "entity": ["s"],
                "columns": ["a", "b", "kind"],
                "categories": ["kind"],
                "ttl": "2d",
            },
        },
    }
)
ORIGIN = np.datetime64("2024-01-05", "us")
HOUR = np.timedelta64(1, "h")


def judge(
    values: tuple[float, ...],
    held: np.datetime64,
    *,
    known: float = 1.0,
    status: str = OK,
    **changes: object,
) -> tuple[str, str | None]:
    columns = {
        "past": ("y", "a", "b"),
        "nullable": ("b",),
        "known": ("k",),
        "static": ("s",),
        **changes,
    }
    schema = Schema(
        name="n",
        entity_keys=("s",),
        frequency="D",
        targets=("y",),
        horizon=1,
        context_length=2,
        quantiles=(),
        **columns,
    )
    window = np.array([[values, values]])
    window[0, 0] = 0.0
    static = np.array([["x"] * len(schema.static)], dtype=object)
    context = Context(
        np.array([ORIGIN]),
        window,
        np.array([[[known]]]),
        static,
        [status],
        ["before" if status != OK else None],
    )
    checked = check_context(
        FEATURES, schema, context, {"v": np.array([ORIGIN]), "w": np.array([held], "M8[us]")}
    )
    return checked.status[0], checked.detail[0]


@pytest.mark.parametrize(
    ("past", "held", "changes", "status", "words"),
    [
        ((1.0, 1.0, 1.0), ORIGIN, {}, OK, ""),
        ((1.0, 1.0, 1.0), ORIGIN - 48 * HOUR, {}, OK, ""),
        ((1.0, 1.0, 1.0), ORIGIN - 48 * HOUR - np.timedelta64(1, "us"), {}, STALE, "view 'w'"),
        ((1.0, 1.0, 1.0), ORIGIN + HOUR, {}, MISSING_FEATURE, "after the origin"),
        ((1.0, 1.0, np.nan), ORIGIN, {}, OK, ""),
        (
            (1.0, np.nan, 1.0),
            ORIGIN,
            {},
            MISSING_FEATURE,
            "view 'w': feature 'a' is null at 1 of 2 steps",
        ),
        ((np.nan, 1.0, 1.0), ORIGIN, {}, MISSING_FEATURE, "view 'v': feature 'y'"),
        (
            (1.0, 1.0, 1.0),
            ORIGIN,
            {"known": np.nan},
            MISSING_FEATURE,
            "no value is stored of 'k' for 1 of the 1 steps after the origin 2024-01-05",
        ),
        ((1.0, 1.0, 1.0), ORIGIN, {"known": np.nan, "nullable": ("k",)}, OK, ""),
        ((1.0, np.nan, np.nan), np.datetime64("NaT"), {"nullable": ("a", "b")}, OK, ""),
        (
            (1.0, 1.0, 1.0),
            np.datetime64("NaT"),
            {"static": ("s", "kind")},
            MISSING_FEATURE,
            "no ['kind']",
        ),
    ],
)
def test_a_window_is_judged(
    past: tuple[float, ...],
    held: np.datetime64,
    changes: dict[str, object],
    status: str,
    words: str,
) -> None:
    known = changes.pop("known", 1.0)
    found, detail = judge(past, held, known=known, **changes)
    assert found == status
    assert words in str(detail)


def test_a_view_that_the_schema_does_not_use_is_not_looked_at() -> None:
    status, _ = judge((1.0,), ORIGIN - 1000 * HOUR, past=("y",), nullable=())
    assert status == OK


def test_an_earlier_status_stays() -> None:
    assert judge((np.nan, np.nan, 1.0), ORIGIN, status=SHORT_HISTORY) == (SHORT_HISTORY, "before")


def test_an_absent_origin_is_stale_only_beyond_the_ttl() -> None:
    view = FEATURES.views["v"]
    assert absent_origin("v", view, ORIGIN, ORIGIN - 24 * HOUR)[0] == MISSING_FEATURE
    assert absent_origin("v", view, ORIGIN, ORIGIN - 25 * HOUR)[0] == STALE
    assert absent_origin("v", view, ORIGIN, ORIGIN + 99 * HOUR)[0] == MISSING_FEATURE
