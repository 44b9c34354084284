"""The views and rows of the retrieval contract, and the point-in-time join as a plain loop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from framework.data.context import Context
from framework.data.vocabulary import OK, TIME
from framework.features.views import FeatureSet

DAY = timedelta(days=1)
FIRST = datetime(2024, 3, 8, tzinfo=UTC)
COLUMNS = ["y", "gap", "temp", "wind", "kind"]

#: Two views with different entities; the weather describes an origin for two days.
FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {
                "entity": ["shop", "item"],
                "columns": ["y", "gap", "kind"],
                "categories": ["kind"],
                "ttl": "1d",
            },
            "weather": {"entity": ["shop"], "columns": ["temp", "wind"], "ttl": "2d"},
        },
    }
)


def sales() -> pd.DataFrame:
    """Make three series, daily; ``gap`` is null on every third row. Shop ``c`` has no weather at
    all.

    Returns:
        Rows of the view ``sales``.
    """
    rows = []
    for i, (shop, item) in enumerate([("a", "x"), ("a", "y"), ("c", "x")]):
        for day in range(9 - i):
            gap = None if day % 3 == 0 else 0.1 * day
            rows.append(
                {
                    "shop": shop,
                    "item": item,
                    TIME: FIRST + day * DAY,
                    "y": 100.0 * i + day / 3,
                    "gap": gap,
                    "kind": f"k{i}",
                }
            )
    return pd.DataFrame(rows)


def weather(shop: str = "a", until: int = 9) -> pd.DataFrame:
    """Make weather at the very time of an origin, exactly one ttl before one, a microsecond more
    than that, and between two.

    Args:
        shop: Whose weather.
        until: The last day, from the first one of the sales.

    Returns:
        Rows of the view ``weather``.
    """
    moments = [
        FIRST - 2 * DAY,
        FIRST + timedelta(hours=7),
        FIRST + 2 * DAY,
        FIRST + 5 * DAY - timedelta(microseconds=1),
        FIRST + 8 * DAY,
    ]
    rows = [
        {"shop": shop, TIME: m, "temp": 10.0 + i, "wind": 1 / (i + 3)}
        for i, m in enumerate(moments)
        if m <= FIRST + until * DAY
    ]
    return pd.DataFrame(rows)


def expected_rows(
    primary: pd.DataFrame, other: pd.DataFrame, ttl: timedelta
) -> list[tuple[Any, ...]]:
    """Join point-in-time by a plain loop over every pair of rows.

    Args:
        primary: Rows of ``sales``.
        other: Rows of ``weather``.
        ttl: How old weather may be.

    Returns:
        The joined rows, sorted.
    """
    out: list[tuple[Any, ...]] = []
    for row in primary.to_dict("records"):
        best: dict[Any, Any] | None = None
        for candidate in other.to_dict("records"):
            known = (
                candidate["shop"] == row["shop"] and row[TIME] - ttl <= candidate[TIME] <= row[TIME]
            )
            if known and (best is None or candidate[TIME] >= best[TIME]):
                best = candidate
        values = (None, None) if best is None else (best["temp"], best["wind"])
        out.append(
            (row["shop"], row["item"], row[TIME], row["y"], row["gap"], *values, row["kind"])
        )
    return sorted(out, key=lambda r: r[:3])


def same_rows(rows: pd.DataFrame, expected: list[tuple[Any, ...]], doing: str) -> None:
    """Check joined rows, bit for bit, null equal to null.

    Args:
        rows: What a strategy gave.
        expected: What :func:`expected_rows` gave.
        doing: What was done, as the subject of a sentence.

    Raises:
        AssertionError: They differ; the message names the first row.
    """
    columns = ["shop", "item", TIME, *COLUMNS]
    assert list(rows.columns) == columns, (
        f"{doing} gives the columns {list(rows.columns)}; they are the entity keys, "
        f"{TIME}, then the columns that were asked for: {columns}."
    )
    assert str(rows[TIME].dtype) == "datetime64[us, UTC]", (
        f"{doing} gives times as {rows[TIME].dtype}, not datetime64[us, UTC]."
    )
    actual_rows = [
        tuple(None if pd.isna(v) else v for v in row) for row in rows.itertuples(index=False)
    ]
    expected_tuples = [tuple(None if pd.isna(v) else v for v in row) for row in expected]
    assert len(actual_rows) == len(expected_tuples), (
        f"{doing} gives {len(actual_rows)} rows, not {len(expected_tuples)}, one for each row of "
        "the primary view: a join drops rows without a match, or doubles those with two."
    )
    for actual, row in zip(actual_rows, expected_tuples, strict=True):
        assert actual == row, (
            f"{doing} gives the row {_text(actual)}, not {_text(row)}: a row of another view "
            "counts from its own time until it is older than the ttl, both inclusive, the newest "
            "one alone."
        )


def _text(row: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, row)) + ")"


def expect_status(context: Context, words: list[str], doing: str, *names: str) -> None:
    """Check the statuses of windows, and that each that is not ``ok`` says why.

    Args:
        context: What a strategy gave.
        words: The status that each window is to have.
        doing: What was asked, as the subject of a sentence.
        names: What the detail of the first window must contain, such as a view or a column.

    Raises:
        AssertionError: They differ.
    """
    detail = [text for text in context.detail if text]
    assert context.status == words, (
        f"{doing} gives the statuses {context.status}, not {words}; its details are {detail}."
    )
    for status, text in zip(context.status, context.detail, strict=True):
        assert status == OK or text, f"{doing} gives the status {status} without saying why."
    for word in names:
        assert word in str(context.detail[0]), (
            f"{doing} gives the detail {context.detail[0]!r}, which does not name {word}."
        )
