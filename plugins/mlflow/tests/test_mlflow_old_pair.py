"""A pair that was registered before files of the core moved: it is proven, opened and answers the
same bytes.
"""

from __future__ import annotations

from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from framework.data.schema import Schema
from framework.pairs.artifacts import open_pair
from framework.pairs.golden import golden_of
from framework.plugins.discovery import load_plugins

#: Trained by commit 46a98f3 on examples/project with model=xgboost, five trees.
OLD = Path(__file__).parent / "pair_of_46a98f3"


def test_an_old_pair_answers_its_golden_batch_bit_for_bit() -> None:
    golden = golden_of(OLD / "model" / "data" / "model")
    pair = open_pair(
        OLD / "preprocessor" / "data" / "preprocessor",
        OLD / "model" / "data" / "model",
        load_plugins(),
    )
    np.testing.assert_array_equal(pair.forecast(golden.context).values, golden.values)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_plain_mlflow_loads_both_old_halves_and_gives_the_same_bytes() -> None:
    golden = golden_of(OLD / "model" / "data" / "model")
    text = (OLD / "model" / "data" / "model" / "schema.json").read_text()
    schema = Schema.model_validate_json(text)
    context = golden.context
    rows = pd.DataFrame(context.static, columns=list(schema.static))
    rows["event_timestamp"] = pd.DatetimeIndex(context.origins).tz_localize("UTC")
    rows[list(schema.past)] = context.past[:, 0, :]
    features = mlflow.pyfunc.load_model(str(OLD / "preprocessor")).predict(rows)
    answers = mlflow.pyfunc.load_model(str(OLD / "model")).predict(features)
    kinds = ["mean", *(f"q{level:g}" for level in schema.quantiles)]
    for step in range(schema.horizon):
        for place, kind in enumerate(kinds):
            column = answers[f"sales__{kind}__{step + 1}"].to_numpy()
            np.testing.assert_array_equal(column, golden.values[:, step, 0, place])
