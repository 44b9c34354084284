"""Windows as table rows: order of columns and rows, unknown labels, strides."""

from dataclasses import replace

import numpy as np
import pytest

from framework.errors import DataError
from framework.interfaces.values import Windows
from framework.interfaces.windows import PanelArrays, WindowSet
from framework.tabular import features, has_label, known_rows, lowest_label, strided, table


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
    return PanelArrays(np.array([0, n]), entities, times, target[:, None], past, past, np.zeros((n, 1), np.float32))


def test_a_row_is_past_static_future_step() -> None:
    rows = features(windows())
    assert rows.shape == (6, 2 * 2 + 1 + 1 + 1)
    assert rows[0].tolist() == [0, 1, 2, 3, 7, 100, 1]
    assert rows[2].tolist() == [0, 1, 2, 3, 7, 102, 3]
    assert rows[5].tolist() == [4, 5, 6, 7, 8, 105, 3]


def test_only_rows_with_a_known_label() -> None:
    rows, labels = known_rows(windows(), 0)
    assert labels.tolist() == [1, 3, 4, 5]
    assert rows[:, -1].tolist() == [1, 3, 1, 2]


def test_a_table_of_many_pieces_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = np.arange(10.0)
    target[6] = np.nan
    given = WindowSet(arrays(target), np.arange(1, 9), 2, 3)
    whole = table(given, 0)
    monkeypatch.setattr("framework.tabular.ROWS", 6)
    pieces = table(given, 0)
    assert np.array_equal(whole[0], pieces[0])
    assert np.array_equal(whole[1], pieces[1])
    assert len(whole[1]) == sum(min(3, 9 - o) for o in range(1, 9)) - 3  # beyond the end, and the step 6 three times


def test_strides_and_labels() -> None:
    given = WindowSet(arrays(np.arange(10.0) - 4), np.arange(1, 9), 2, 3)
    assert strided(given, 3).origins.tolist() == [1, 4, 7]
    assert lowest_label(given, 0, "m", "y") == -2
    nothing = replace(given, arrays=arrays(np.full(10, np.nan)))
    assert has_label(given, 0)
    assert not has_label(nothing, 0)
    with pytest.raises(DataError, match="m: target 'y' has no value"):
        lowest_label(nothing, 0, "m", "y")
