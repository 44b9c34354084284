"""Both halves through ``mlflow.pyfunc.load_model``: bit for bit the forecasts of the pair, without
pickle or code from the artifact.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from framework_mlflow.frames import context_from_rows
from framework_mlflow.options import MlflowOptions
from framework_mlflow.pyfunc import _load_pyfunc
from framework_mlflow.registry.registry import MlflowRegistry

from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.errors import DataError, RefusedError
from framework.interfaces.registry import PairDraft
from framework.pairs.artifacts import Evidence, write_pair
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft
from framework.testing.fakes import make_pair, make_schema


def rows_of(context: Context, schema: Schema) -> pd.DataFrame:
    """The rows that a client would send for these windows."""
    frequency, length = Frequency.parse(schema.frequency), schema.context_length
    parts = []
    for i in range(len(context)):
        back = frequency.shift(np.full(length, context.origins[i]), np.arange(1 - length, 1))
        history = pd.DataFrame(context.past[i], columns=list(schema.past))
        history[TIME] = [f"{t}Z" for t in back.astype("M8[s]").astype(str)]
        if schema.known:
            history[list(schema.known)] = 0.5
            ahead = pd.DataFrame(context.known[i], columns=list(schema.known))
            ahead[TIME] = [
                f"{t}Z"
                for t in frequency.after(context.origins[i : i + 1], schema.horizon)[0]
                .astype("M8[s]")
                .astype(str)
            ]
            history = pd.concat([history, ahead], ignore_index=True)
        for name, value in zip(schema.static, context.static[i], strict=True):
            history[name] = value
        parts.append(history)
    return pd.concat(parts, ignore_index=True)


SCHEMAS = {
    "one step": make_schema(),
    "three steps": make_schema(context_length=3),
    "known columns": make_schema(context_length=2, known=("price", "promotion")),
}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_both_halves_answer_bit_for_bit_as_the_pair(
    registry: MlflowRegistry,
    options: MlflowOptions,
    tmp_path: Path,
    schema: Schema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    pair, golden = make_pair(schema, windows=5)
    write_pair(
        tmp_path / "draft",
        pair,
        dict.fromkeys(HALVES, "fake"),
        Evidence(golden, pd.DataFrame({"step": [1]}), {}),
    )
    numpy_pin = (f"numpy=={np.__version__}",)
    registry.register(
        PairDraft(
            tmp_path / "draft" / "preprocessor", tmp_path / "draft" / "model", schema, "", numpy_pin
        ),
        "r",
    )
    registry.move("fake", "production", 1, expected=None)

    mlflow.set_tracking_uri(options.tracking_uri)
    preprocessor, model = (
        mlflow.pyfunc.load_model(f"models:/fake_{half}@production") for half in HALVES
    )
    rows = rows_of(golden.context, schema)
    features = preprocessor.predict(rows)
    assert set(features.dtypes.astype(str)) == {"float32", "float64"}
    answer = model.predict(
        features[sorted(features.columns)]
    )  # the order of columns must not matter
    assert answer.columns[0] == "departures__mean__1"
    assert answer.columns[-1] == "delay__q0.9__3"
    np.testing.assert_array_equal(answer.to_numpy(), golden.values.reshape(5, -1))

    one = rows_of(golden.context.take(np.array([3])), schema)
    np.testing.assert_array_equal(
        model.predict(preprocessor.predict(one)).to_numpy(), golden.values[3:4].reshape(1, -1)
    )
    registry.fetch(
        registry.resolve("fake", "production")
    )  # MLflow left a file in the artifact; the proof still holds


@pytest.mark.usefixtures("site")
def test_a_changed_half_is_not_opened(registry: MlflowRegistry, tmp_path: Path) -> None:
    fetched = registry.fetch(registry.register(make_draft(tmp_path / "draft"), "r"))
    copy = tmp_path / "copy"
    shutil.copytree(fetched.model.parent.parent, copy)
    (copy / "data" / "model" / "state" / "model.json").write_text("{}")
    with pytest.raises(
        RefusedError, match=r"model half: file data/model/state/model.json was changed"
    ):
        _load_pyfunc(str(copy / "data" / "model"))
    (copy / "pair.json").write_text(
        (copy / "pair.json").read_text().replace('"run_id":"r"', '"run_id":"x"')
    )
    with pytest.raises(RefusedError, match=r"pair.json was changed"):
        _load_pyfunc(str(copy / "data" / "model"))


def _row(**changed: Any) -> dict[str, Any]:
    row = {
        "airport": "JFK",
        "carrier": "AA",
        "season": "summer",
        TIME: "2024-01-01",
        "departures": 1.0,
        "delay": 2.0,
        "temp": 3.0,
        "wind gust": None,
    }
    return {**row, **changed}


@pytest.mark.parametrize(
    ("rows", "length", "message"),
    [
        ([{k: v for k, v in _row().items() if k != "temp"}], 1, r"missing \['temp'\]"),
        ([_row(tmep=1.0)], 1, r"unknown \['tmep'\]"),
        ([_row(), _row(temp=None)], 1, r"column 'temp' is null in row 1; it never was in training"),
        ([_row(temp="warm")], 1, r"column 'temp' is not numeric"),
        ([_row(carrier=None)], 1, r"column 'carrier' is null in row 0"),
        ([_row(event_timestamp="yesterday-ish")], 1, r"event_timestamp is not a time"),
        ([_row(event_timestamp=None)], 1, r"event_timestamp is null in row 0"),
        ([_row()], 2, r"1 steps of history of \['JFK', 'AA'\], 2 are needed"),
        (
            [_row(), _row(event_timestamp="2024-01-03")],
            2,
            r"row 1 of \['JFK', 'AA'\] is at 2024-01-03.*one step of D after 2024-01-01",
        ),
        (
            [_row(), _row(carrier="B6"), _row(event_timestamp="2024-01-02")],
            2,
            r"must follow each other",
        ),
    ],
)
def test_wrong_rows_are_named(rows: list[dict[str, Any]], length: int, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        context_from_rows(pd.DataFrame(rows), make_schema(context_length=length))
    assert "\n" not in str(raised.value)


def test_known_columns_must_reach_the_horizon() -> None:
    schema = make_schema(known=("price",))
    past = [_row(price=1.0)]
    ahead = [
        _row(
            event_timestamp=f"2024-01-0{d}", price=float(d), departures=None, delay=None, temp=None
        )
        for d in (2, 3, 4)
    ]
    context = context_from_rows(pd.DataFrame(past + ahead), schema)
    np.testing.assert_array_equal(context.known[0, :, 0], [2.0, 3.0, 4.0])
    assert context.origins[0] == np.datetime64("2024-01-01", "us")
    with pytest.raises(
        DataError, match=r"2 rows of \['price'\] after the origin of .*, 3 are needed"
    ):
        context_from_rows(pd.DataFrame(past + ahead[:2]), schema)


def test_a_young_series_is_cut_where_the_pair_needs_fewer_steps() -> None:
    """Its window is null before its first row, and holds nothing of the series before it."""
    rows = [_row(event_timestamp=f"2024-01-0{d}", departures=float(d)) for d in range(1, 4)]
    rows += [_row(airport="new", event_timestamp="2024-01-03", departures=7.0)]
    schema = make_schema(context_length=3, least_context=1)
    departures = context_from_rows(pd.DataFrame(rows), schema).past[:, :, 0]
    nan = float("nan")
    np.testing.assert_array_equal(departures, [[1.0, 2.0, 3.0], [nan, nan, 7.0]])


def test_times_with_a_zone_are_converted() -> None:
    rows = pd.DataFrame([_row()])
    rows[TIME] = pd.to_datetime(["2024-01-01T02:00:00+02:00"])
    assert context_from_rows(rows, make_schema()).origins[0] == np.datetime64("2024-01-01", "us")
