"""The newest row of each step, beside a search of one row after another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from framework.data.vocabulary import TIME
from framework.retrieval.key_runs import Keys
from framework.retrieval.point_in_time import newest

GROUPS, STEPS = 60, 40


@pytest.mark.parametrize(
    ("first", "last"),
    [("2024-01-01T00", "2024-01-20T00"), ("0001-01-01T00", "9990-01-01T00")],
    ids=["days", "more microseconds than 60 groups have room for"],
)
def test_a_step_has_the_newest_row_that_is_not_later(first: str, last: str) -> None:
    generator = np.random.default_rng(3)
    low, high = (np.datetime64(text, "h").astype(np.int64) for text in (first, last))
    moments = generator.integers(low, high, 30)

    def draw(count: int) -> np.ndarray:
        return np.unique(generator.choice(moments, count)).astype("M8[h]").astype("M8[us]")

    names = [f"g{number:02}" for number in range(GROUPS)]
    row_moments = {name: draw(8) for name in names[5:-5]}  # some series have no row
    row_moments["g00"] = np.array([moments.max()], dtype="M8[h]").astype("M8[us]")
    step_moments = {name: draw(STEPS) for name in names}
    rows = pa.table(
        {
            "key": pa.array([name for name in sorted(row_moments) for _ in row_moments[name]]),
            TIME: pa.array(np.concatenate([row_moments[name] for name in sorted(row_moments)])),
        }
    )
    series = Keys.of_entities(np.array([[name] for name in names], dtype=object), ("key",))
    counts = np.array([len(step_moments[name]) for name in names])
    times = np.concatenate([step_moments[name] for name in names])
    place, row_times = newest(("key",), series, counts, times, rows)
    expected = [
        max((row for row in row_moments.get(name, ()) if row <= step), default=np.datetime64("NaT"))
        for name in names
        for step in step_moments[name]
    ]
    np.testing.assert_array_equal(row_times, np.array(expected, dtype="M8[us]"))
    assert 100 < np.isnat(row_times).sum() < len(row_times) - 100
    hits = ~np.isnat(row_times)
    np.testing.assert_array_equal(rows[TIME].to_numpy()[place[hits]], row_times[hits])
    keys = np.repeat(names, counts)
    np.testing.assert_array_equal(
        rows["key"].to_numpy(zero_copy_only=False)[place[hits]], keys[hits]
    )
    assert (place[~hits] == 0).all()
