"""Windows as table rows: order of columns and rows, unknown labels, strides."""

from dataclasses import replace

import numpy as np
import pytest

from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.errors import ConfigError, DataError
from framework.models.options import TargetOptions
from framework.models.target_transforms import TargetTransform
from framework.models.window_sets import has_label, lowest_label, strided
from framework.models.window_table import Tabular

PLAIN = Tabular(None, (TargetTransform(),))


def windows() -> Windows:
    """Two windows, L=2, F=2, H=3, K'=1, S'=1, one target."""
    past = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    future = np.arange(100, 106, dtype=np.float32).reshape(2, 3, 1)
    static = np.array([[7.0], [8.0]], np.float32)
    target = np.array([[[1.0], [np.nan], [3.0]], [[4.0], [5.0], [np.nan]]])
    return Windows(np.zeros((2, 2, 1)), past, future, static, target)


def arrays(target: np.ndarray) -> PanelArrays:
    """One series of ten steps."""
    n = len(target)
    times = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "D")
    past = np.arange(n, dtype=np.float32)[:, None]
    entities = np.array([["a"]], dtype=object)
    return PanelArrays(
        np.array([0, n]),
        entities,
        times,
        target[:, None],
        past,
        past,
        np.zeros((n, 1), np.float32),
        ("y",),
    )


def test_a_row_is_past_static_future_step() -> None:
    rows = PLAIN.features(windows())
    assert rows.shape == (6, 2 * 2 + 1 + 1 + 1)
    assert rows[0].tolist() == [0, 1, 2, 3, 7, 100, 1]
    assert rows[2].tolist() == [0, 1, 2, 3, 7, 102, 3]
    assert rows[5].tolist() == [4, 5, 6, 7, 8, 105, 3]


def test_a_single_step_has_no_column() -> None:
    given = windows()
    assert given.target is not None
    one = replace(given, future=given.future[:, :1], target=given.target[:, :1])
    assert PLAIN.features(one).tolist() == [[0, 1, 2, 3, 7, 100], [4, 5, 6, 7, 8, 103]]


def test_only_rows_with_a_known_label() -> None:
    rows, labels = PLAIN.known_rows(windows(), 0)
    assert labels.tolist() == [1, 3, 4, 5]
    assert rows[:, -1].tolist() == [1, 3, 1, 2]


def test_a_table_of_many_pieces_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = np.arange(10.0)
    target[6] = np.nan
    given = WindowSet(arrays(target), np.arange(1, 9), 2, 3)
    whole = PLAIN.table(given, 0)
    monkeypatch.setattr("framework.models.window_sets.ROWS", 6)
    monkeypatch.setattr("framework.models.window_sets.BYTES", 0)
    pieces = PLAIN.table(given, 0)
    assert np.array_equal(whole[0], pieces[0])
    assert np.array_equal(whole[1], pieces[1])
    assert (
        len(whole[1]) == sum(min(3, 9 - o) for o in range(1, 9)) - 3
    )  # beyond the end, and the step 6 three times


def test_strides_and_labels() -> None:
    given = WindowSet(arrays(np.arange(10.0) - 4), np.arange(1, 9), 2, 3)
    assert strided(given, 3).origins.tolist() == [1, 4, 7]
    assert lowest_label(given, 0, "m", "y") == -2
    nothing = replace(given, arrays=arrays(np.full(10, np.nan)))
    assert has_label(given, 0)
    assert not has_label(nothing, 0)
    with pytest.raises(DataError, match="m: target 'y' has no value"):
        lowest_label(nothing, 0, "m", "y")


NAMES = ("y", "z", "y_lag_1", "y_lag_2")


def lagged(unit: float = 1.0) -> PanelArrays:
    """Two series of six steps with the lags of ``y``, those multiplied by ``unit``."""
    y = np.concatenate([np.arange(6.0) ** 2, 50 - np.arange(6.0)])
    past = np.full((12, 4), np.nan, dtype=np.float32)
    past[:, 0] = past[:, 1] = y
    for column, back in ((2, 1), (3, 2)):
        for start in (0, 6):
            past[start + back : start + 6, column] = y[start : start + 6 - back] * unit
    plain = arrays(y)
    entities = np.array([["a"], ["b"]], dtype=object)
    return replace(
        plain, offsets=np.array([0, 6, 12]), entities=entities, past=past, past_names=NAMES
    )


def schema(horizon: int) -> Schema:
    return Schema(
        name="t",
        entity_keys=("k",),
        frequency="D",
        targets=("y",),
        past=NAMES,
        nullable=NAMES[2:],
        known=(),
        static=("k",),
        horizon=horizon,
        context_length=1,
        quantiles=(),
    )


def test_seasonal_columns_hold_the_value_one_season_before_each_step() -> None:
    plan = Tabular.plan(lagged(), schema(4), TargetOptions(seasonal_lags=(3,)))
    assert plan.seasonal is not None
    # steps 1 to 4 less a season of 3: two back, one back, the origin itself, and (step 4) two back
    # again
    assert [NAMES[place] for place in plan.seasonal[:, 0]] == ["y_lag_2", "y_lag_1", "y", "y_lag_2"]
    rows = plan.features(WindowSet(lagged(), np.array([3]), 1, 4).gather())
    assert rows[:, -2].tolist() == [1, 4, 9, 1]
    assert (
        Tabular.from_json(plan.to_json())
        .features(WindowSet(lagged(), np.array([3]), 1, 4).gather())
        .tobytes()
        == rows.tobytes()
    )


def test_a_difference_is_learned_from_and_added_to_the_same_value() -> None:
    plan = Tabular.plan(lagged(), schema(3), TargetOptions(seasonal_lags=(3,), difference=("y",)))
    given = WindowSet(lagged(), np.array([2, 8]), 1, 3).gather()
    _, labels = plan.known_rows(given, 0)
    assert labels.tolist() == [9 - 0, 16 - 1, 25 - 4, -3, -3, -3]
    assert given.target is not None
    assert (
        plan.targets[0].back(labels.reshape(2, 3, 1), given)[..., 0].tolist()
        == given.target[:, :, 0].tolist()
    )
    early = WindowSet(lagged(), np.array([0]), 1, 3).gather()
    assert plan.targets[0].back(np.ones((1, 3, 1)), early).ravel().tolist() == [
        1,
        1,
        1,
    ]  # nothing is known three steps before


def test_what_a_season_or_a_difference_cannot_be_made_of_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"seasonal_lags \[5\] need the features \['y_lag_3', 'y_lag_4'\]"
    ):
        Tabular.plan(lagged(), schema(3), TargetOptions(seasonal_lags=(5,)))
    with pytest.raises(ConfigError, match="'x' is not one of the targets"):
        Tabular.plan(lagged(), schema(3), TargetOptions(seasonal_lags=(3,), difference=("x",)))
    with pytest.raises(
        ConfigError, match="feature 'y_lag_2' is not 'y' 2 steps before in its natural unit"
    ):
        Tabular.plan(
            lagged(unit=0.5), schema(3), TargetOptions(seasonal_lags=(3,), difference=("y",))
        )


def test_what_is_made_of_a_scaled_target_is_divided_too() -> None:
    scaled = Tabular(None, (TargetTransform(scale=1, typical=2.0, target=0),), ((0,),))
    some = windows()
    some.past[:, -1, 1] = [2.0, np.nan]
    rows = scaled.features(some)
    assert rows[0, :4].tolist() == [0, 1, 1, 2]  # the oldest step first; the scale stays as it is
    assert len(scaled.known_rows(some, 0)[1]) == 2
    again = Tabular.from_json(scaled.to_json())
    assert again.features(some).tobytes() == rows.tobytes()
    old = scaled.to_json()
    del old["scaled"]
    assert Tabular.from_json(old).features(some)[0, :4].tolist() == [0, 1, 2, 2]
