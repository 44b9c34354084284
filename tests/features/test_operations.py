"""Expanding statistics, differences, joins and a user's own functions against plain pandas, series
by series; leaks; wrong input.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.features.engineering import engineer
from framework.features.views import View
from framework.testing.contracts.leaks import LeakError, assert_features_do_not_leak

DAY = Frequency.parse("D")
STATISTICS = ["mean", "std", "min", "max", "sum"]
OPERATIONS = (
    {"op": "lag", "columns": ["y"], "steps": [1, 3]},
    {"op": "rolling", "columns": ["y"], "windows": [2, 5], "statistics": STATISTICS},
    {"op": "expanding", "columns": ["y"], "statistics": STATISTICS},
    {"op": "difference", "columns": ["y"], "steps": [1, 4]},
    {"op": "difference", "columns": ["y"], "steps": [2], "relative": True},
)


def make_view(*ops: dict, categories: tuple[str, ...] = ()) -> View:
    return View.model_validate(
        {
            "entity": ["s"],
            "columns": ["y", *categories],
            "categories": categories,
            "ttl": "1d",
            "engineer": ops,
        }
    )


def table(*series: list[float]) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "s": f"s{i:03}",
                TIME: pd.date_range(f"2024-01-{i % 20 + 1:02}", periods=len(y), tz="UTC"),
                "y": np.array(y, float),
            }
        )
        for i, y in enumerate(series)
    ]
    return pd.concat(frames, ignore_index=True)


def of(windows: Any, statistic: str) -> pd.Series:
    """The statistic of pandas' windows; of the deviation by its formula, for pandas' own running
    one loses digits after large values.
    """
    return (
        windows.apply(partial(np.nanstd, ddof=1), raw=True)
        if statistic == "std"
        else getattr(windows, statistic)()
    )


def reference(y: pd.Series) -> dict[str, pd.Series]:
    made = {f"y_lag_{k}": y.shift(k) for k in (1, 3)}
    for statistic in STATISTICS:
        least = 2 if statistic == "std" else 1
        for window in (2, 5):
            rolled = of(y.rolling(window, min_periods=least), statistic)
            made[f"y_rolling_{window}_{statistic}"] = rolled.where(np.arange(len(y)) >= window - 1)
        made[f"y_expanding_{statistic}"] = of(y.expanding(min_periods=least), statistic)
    made |= {f"y_difference_{k}": y.diff(k) for k in (1, 4)}
    before = y.shift(2)
    return made | {"y_relative_difference_2": ((y - before) / before).where(before != 0)}


VALUES = st.one_of(
    st.just(float("nan")), st.just(0.0), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=14), min_size=1, max_size=6))
def test_every_operation_equals_pandas(series: list[list[float]]) -> None:
    rows = table(*series)
    out = engineer(make_view(*OPERATIONS), rows, DAY)
    for name, part in out.groupby("s", sort=False):
        expected = reference(rows[rows["s"] == name]["y"].reset_index(drop=True))
        assert set(expected) == set(out.columns) - {"s", TIME, "y"}
        for feature, values in expected.items():
            np.testing.assert_allclose(part[feature], values, rtol=1e-7, atol=1e-3, err_msg=feature)


def test_expanding_statistics_of_a_far_level_keep_their_digits() -> None:
    y = np.random.default_rng(0).normal(1e9, 1.0, 400)
    made = engineer(
        make_view({"op": "expanding", "columns": ["y"], "statistics": ["std"]}), table(list(y)), DAY
    )
    assert made["y_expanding_std"].iloc[-1] == pytest.approx(np.std(y, ddof=1), rel=1e-6)


def test_a_series_has_the_same_bits_alone_and_among_others() -> None:
    generator = np.random.default_rng(4)
    rows = table(*(list(generator.normal(50, 20, n)) for n in (90, 33, 64, 1, 65, 128) * 10))
    view = make_view(*OPERATIONS)
    together = engineer(view, rows, DAY)
    for name in ("s000", "s034", "s059"):
        alone, among = engineer(view, rows[rows["s"] == name], DAY), together[together["s"] == name]
        for feature in view.feature_names():
            assert alone[feature].to_numpy().tobytes() == among[feature].to_numpy().tobytes(), (
                feature
            )


JOIN = {
    "op": "join",
    "table": "prices",
    "by": ["s"],
    "columns": ["price"],
    "time": "since",
    "ttl": "3d",
    "prefix": "shop_",
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["s000", "s001", "s009"]), st.integers(-5, 300), VALUES),
        max_size=20,
    )
)
def test_an_as_of_join_takes_the_newest_row_that_is_known(
    found: list[tuple[str, int, float]],
) -> None:
    rows = table([1.0] * 9, [2.0] * 7)
    first = pd.Timestamp("2024-01-01", tz="UTC")
    prices = pd.DataFrame(found, columns=["s", "hours", "price"])
    prices["since"] = first + pd.to_timedelta(prices["hours"].astype(float), unit="h")
    made = engineer(make_view(JOIN), rows, DAY, {"prices": prices})
    for row in made.itertuples():
        known = [(p.since, i, p.price) for i, p in enumerate(prices.itertuples()) if p.s == row.s]
        known = [
            k
            for k in known
            if row.event_timestamp - pd.Timedelta(days=3) <= k[0] <= row.event_timestamp
        ]
        expected = max(known, key=lambda k: k[:2])[2] if known else np.nan
        np.testing.assert_equal(row.shop_price, expected)


def test_a_static_join_gives_numbers_and_categories_by_keys_or_categories() -> None:
    rows = table([1.0, 2.0], [3.0]).assign(town=["Oslo", "Oslo", "Bergen"])
    towns = pd.DataFrame({"town": ["Bergen", "Oslo"], "people": [291_000, 717_000]})
    shops = pd.DataFrame({"s": ["s001"], "format": ["large"]})
    view = make_view(
        {"op": "join", "table": "towns", "by": ["town"], "columns": ["people"]},
        {"op": "join", "table": "shops", "by": ["s"], "columns": ["format"]},
        {"op": "lag", "columns": ["people"], "steps": [1]},
        categories=("town",),
    ).model_copy(update={"categories": ("town", "format")})
    made = engineer(view, rows, DAY, {"towns": towns, "shops": shops})
    assert made["people"].tolist() == [717_000, 717_000, 291_000]
    assert made["format"].isna().tolist() == [True, True, False]
    assert made["people_lag_1"].tolist()[1] == 717_000
    assert list(made.columns) == ["s", TIME, *view.feature_names()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": ["pricee"]}, "join of 'prices': no column 'pricee'; Did you mean 'price'"),
        ({"time": None}, r"join of 'prices': two rows for \{'s': 's000'\}; .* time: COLUMN"),
        ({"time": "price"}, "column 'price' is not a time"),
        (
            {"columns": ["note"]},
            "column 'note' is not numeric .* list 'shop_note' under categories",
        ),
        ({"table": "other"}, "table 'other' was not read"),
    ],
)
def test_a_wrong_join_is_named(change: dict, words: str) -> None:
    times = pd.to_datetime(["2023-12-31", "2024-01-01"], utc=True)
    prices = pd.DataFrame(
        {
            "s": "s000",
            "since": times,
            "price": ["1", "2"] if "price" in change.values() else [1.0, 2.0],
            "note": "x",
        }
    )
    if change.get("time") == "price":
        prices["price"] = ["soon", "later"]
    with pytest.raises(DataError, match=words):
        engineer(make_view({**JOIN, **change}), table([1.0]), DAY, {"prices": prices})


def test_what_cannot_be_joined_or_made_twice_is_refused_in_the_configuration() -> None:
    with pytest.raises(ValueError, match=r"join by: \['shop'\] cannot be used there"):
        make_view({**JOIN, "by": ["shop"]})
    with pytest.raises(ValueError, match=r"features \['y_lag_1'\] are made twice"):
        make_view({"op": "lag", "columns": ["y"], "steps": [1, 1]})
    with pytest.raises(ValueError, match="Input should be greater than or equal to 1"):
        make_view({"op": "difference", "columns": ["y"], "steps": [0]})


MODULE = """
def smooth(rows, weight=0.5):
    made = rows.groupby("s")["y"].transform(lambda y: y.ewm(alpha=weight).mean())
    return {"level": made, "above": rows["y"] - made}

def peeping(rows):
    return {"level": rows.groupby("s")["y"].shift(-1)}

def short(rows):
    return {"level": [1.0]}

def broken(rows):
    return {"level": 1 / 0}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user's own on the path."""
    path = tmp_path / "own_features.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_features", raising=False)
    return path


def python(function: str, outputs: tuple[str, ...] = ("level",), **options: object) -> dict:
    return {
        "op": "python",
        "function": f"own_features:{function}",
        "columns": ["y"],
        "outputs": outputs,
        "options": options,
    }


def test_a_function_of_ones_own_makes_columns(own: Path) -> None:
    rows = table([1.0, 2.0, 4.0], [8.0, 8.0])
    view = make_view(
        python("smooth", ("level", "above"), weight=1.0),
        {"op": "lag", "columns": ["level"], "steps": [1]},
    )
    made = engineer(view, rows, DAY)
    assert made["level"].tolist() == rows["y"].tolist()
    assert made["above"].tolist() == [0.0] * 5
    np.testing.assert_array_equal(made["level_lag_1"], [np.nan, 1.0, 2.0, np.nan, 8.0])


def test_a_function_that_looks_ahead_is_caught_by_the_canary(own: Path) -> None:
    rows, origin = table([1.0, 2.0, 4.0, 8.0] * 3), np.datetime64("2024-01-06", "us")
    assert_features_do_not_leak(make_view(python("smooth", ("level", "above"))), rows, DAY, origin)
    with pytest.raises(LeakError, match="feature 'level'"):
        assert_features_do_not_leak(make_view(python("peeping")), rows, DAY, origin)


def test_the_source_of_a_function_belongs_to_the_definition(own: Path) -> None:
    view = make_view(python("short"))
    before = view.definition()
    assert make_view(python("short")).definition() == before
    own.write_text(MODULE + "\n# changed\n")
    assert view.definition() != before


@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (
            python("short"),
            DataError,
            r"output 'level' of 'own_features:short' has shape \(1,\) for 3 rows",
        ),
        (python("broken"), DataError, "'own_features:broken' failed: ZeroDivisionError"),
        (python("smooth"), DataError, r"gave \['above', 'level'\]; outputs are \['level'\]"),
        (python("smoth"), ConfigError, "'own_features' has no 'smoth'; Did you mean 'smooth'"),
        ({**python("smooth"), "function": "no_such_module:f"}, ConfigError, "no_such_module"),
        ({**python("smooth"), "columns": ["z"]}, ConfigError, "python of 'z': no such column yet"),
    ],
)
def test_a_wrong_function_is_named(own: Path, op: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        engineer(make_view(op), table([1.0, 2.0, 3.0]), DAY)
