"""One text for one value, whichever reader it came through."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from framework_sql.options import SqlOptions
from framework_sql.source import SqlSource
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from framework.data.canonical_text import canonical_text, category_texts, key_texts
from framework.errors import DataError

#: What a file, a database or a request may hold, and its one text.
VALUES: list[tuple[Any, str | None]] = [
    (None, None),
    (float("nan"), None),
    (np.float32("nan"), None),
    (pd.NA, None),
    (pd.NaT, None),
    (Decimal("NaN"), None),
    ("", ""),
    ("nan", "nan"),
    ("None", "None"),
    ("0070", "0070"),
    (" x ", " x "),
    (True, "true"),
    (np.bool_(0), "false"),
    (2, "2"),
    (2.0, "2"),
    (-0.0, "0"),
    (np.float32(0.1), "0.1"),
    (0.1, "0.1"),
    (1e-7, "0.0000001"),
    (1e22, "10000000000000000000000"),
    (np.int8(-3), "-3"),
    (10**21, "1000000000000000000000"),
    (Decimal("1044372000012345678901"), "1044372000012345678901"),
    (Decimal("2.00"), "2"),
    (Decimal("1E+3"), "1000"),
    (Decimal("2.50"), "2.5"),
    (date(2024, 2, 29), "2024-02-29"),
    (pd.Timestamp("2024-02-29"), "2024-02-29"),
    (np.datetime64("2024-02-29", "D"), "2024-02-29"),
    (pd.Timestamp("2024-02-29 05:30"), "2024-02-29 05:30:00"),
    (datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29 00:00:00+00:00"),
    (b"abc", "abc"),
]


@pytest.mark.parametrize(("value", "text"), VALUES, ids=[repr(value) for value, _ in VALUES])
def test_a_value_has_one_text(value: Any, text: str | None) -> None:
    assert canonical_text(value) == text
    assert category_texts(pd.Series([value, "x"], dtype=object)).tolist() == [text, "x"]


WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
COLUMNS = [
    (WHOLE, ("int64", "Int64", "float64", "object", "int64[pyarrow]", "category")),
    (st.booleans(), ("bool", "boolean", "object", "bool[pyarrow]", "category")),
    (
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
        ("object", "string", "category"),
    ),
    (st.dates(date(1900, 1, 1), date(2200, 1, 1)), ("datetime64[us]", "object", "date32[pyarrow]")),
]


@pytest.mark.parametrize(("values", "kinds"), COLUMNS, ids=["whole", "boolean", "text", "date"])
@seed(14)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_kind_of_column_gives_the_same_texts(
    values: st.SearchStrategy[Any], kinds: tuple[str, ...], data: st.DataObject
) -> None:
    given_values = data.draw(st.lists(values, min_size=1, max_size=8))
    with_nulls = data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=8))
    expected = [canonical_text(value) for value in given_values]
    for kind in kinds:
        assert category_texts(_series(given_values, kind)).tolist() == expected, kind
        if kind not in ("int64", "bool"):
            texts = category_texts(_series(with_nulls, kind)).tolist()
            assert texts == [canonical_text(value) for value in with_nulls], kind


def _series(values: list[Any], kind: str) -> pd.Series[Any]:
    if kind.endswith("[pyarrow]"):
        types = {"int64": pa.int64(), "bool": pa.bool_(), "date32": pa.date32()}
        return pd.Series(
            pd.arrays.ArrowExtensionArray(pa.array(values, types[kind.removesuffix("[pyarrow]")]))
        )
    if kind == "category":
        return pd.Series(values, dtype=object).astype("category")
    return pd.Series(values, dtype=kind)  # type: ignore[call-overload,no-any-return]


@seed(14)
@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1, max_size=6),
    chunk=st.integers(1, 3),
)
def test_parquet_and_sql_say_the_same_whatever_the_chunk(
    values: list[int | None], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    expected = [None if value is None else str(value) for value in values]
    pq.write_table(pa.table({"event": pa.array(values, pa.int64())}), folder / "t.parquet")
    read = pq.read_table(folder / "t.parquet").to_pandas(types_mapper=pd.ArrowDtype)["event"]
    assert category_texts(read).tolist() == expected
    assert [text for part in _chunks(folder, values, chunk) for text in part] == expected


def _chunks(folder: Path, values: list[int | None], chunk: int) -> list[list[str | None]]:
    with sqlite3.connect(folder / "t.db") as connection:
        connection.execute("CREATE TABLE t (event_timestamp TEXT, event INTEGER)")
        connection.executemany(
            "INSERT INTO t VALUES ('2024-01-01', ?)", [(value,) for value in values]
        )
    options = SqlOptions(
        url=f"sqlite:///{folder}/t.db",
        chunk=chunk,
        tables={"t": {"query": "SELECT * FROM t ORDER BY rowid"}},
    )
    source = SqlSource(options)
    try:
        return [
            category_texts(batch.rows["event"]).tolist()
            for batch in source.batches("t", None, None)
        ]  # type: ignore[arg-type]
    finally:
        source.close()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pd.Series([1.0, 2.5]), "2.5"),
        (pd.Series([1.0, 2.0**53]), "9007199254740992.0"),
        (pd.Series([1.0, 1.0443720000123457e21]), "1.0443720000123457e+21"),
        (pd.Series(["a", 1e18], dtype=object), "1e+18"),
        (pd.Series([0.5, None]).astype("Float64"), "0.5"),
        (pd.Series([0.5, 1.0]).astype("category"), "0.5"),
    ],
    ids=["fraction", "2**53", "22 digits", "among texts", "nullable", "category"],
)
def test_a_float_that_cannot_be_an_id_is_refused(values: pd.Series[Any], shown: str) -> None:
    with pytest.raises(
        DataError, match=f"view 'v': key 'id' holds .*{re.escape(shown)}.*CAST\\(id AS VARCHAR\\)"
    ):
        key_texts(values.rename("id"), "view 'v'")


def test_a_decimal_or_a_whole_float_is_an_id() -> None:
    decimals = pd.Series([Decimal("1044372000012345678901"), Decimal(7)], name="id")
    assert key_texts(decimals, "").tolist() == ["1044372000012345678901", "7"]
    assert key_texts(pd.Series([3.0, None], name="id"), "").tolist() == ["3", None]


def test_a_list_is_no_text() -> None:
    with pytest.raises(DataError, match="column 'tags': a list is no text"):
        category_texts(pd.Series([["a"]], name="tags"))
