"""Records of equal length are read as arrays over all entities: what is read one by one, in the
same bits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from framework_feast.online.window import window_context
from framework_feast.records.packed import EqualRows, Rows, decode_all

from framework.data.schema import Schema
from framework.features.views import FeatureSet

DAY = 86_400_000_000
FEATURES = FeatureSet.model_validate(
    {
        "primary": "till",
        "views": {
            "till": {"entity": ["shop"], "columns": ["promo", "y", "extra"], "ttl": "1d"},
            "plan": {"entity": ["shop"], "columns": ["price", "hours"], "ttl": "3d"},
        },
    }
)
ENTITIES = [{"shop": f"s{i}"} for i in range(6)]
KEPT, AHEAD, LENGTH = 9, 3, 5


def schema(**changes: Any) -> Schema:
    fields: dict[str, Any] = {
        "name": "equal",
        "entity_keys": ("shop",),
        "frequency": "D",
        "targets": ("y",),
        "past": ("y", "hours", "extra"),
        "nullable": ("extra",),
        "known": ("price", "promo"),
        "static": ("shop",),
        "horizon": 2,
        "context_length": LENGTH,
        "quantiles": (),
    }
    return Schema(**{**fields, **changes})


def records(view: str, seed: int, *, ahead: int = AHEAD) -> list[bytes]:
    """Of each entity as many rows, of which the last have no actual; some entities are as none is
    as a rule.
    """
    rng = np.random.default_rng(seed)
    encoded = []
    for i in range(len(ENTITIES)):
        times = (np.arange(KEPT + ahead) + 20_000 + i) * DAY
        numbers = rng.normal(size=(KEPT + ahead, len(FEATURES.views[view].columns)))
        if view == "till":
            numbers[KEPT:, 1] = np.nan
        if i == 1:
            times[: KEPT - 2] -= DAY  # a gap
        if i == 2 and view == "till":
            numbers[KEPT - 1, 1] = np.nan  # the newest actual is the day before
        if i == 3:
            numbers[KEPT - 2, 0] = np.nan
        if i == 4 and ahead:
            times[-ahead:] += DAY  # no plan of the first step
        texts = np.empty((len(times), 0), dtype=object)
        encoded.append(Rows(times, numbers, texts, bool(i % 2), ahead).encode())
    return encoded


@pytest.mark.parametrize("at", [None, 20_000 + KEPT - 1])
@pytest.mark.parametrize("ahead", [AHEAD, 0])
@pytest.mark.parametrize("length", [LENGTH, 2, KEPT + 2])
def test_windows_of_equal_records_are_those_of_each(
    at: int | None, ahead: int, length: int
) -> None:
    moment = None if at is None else datetime.fromtimestamp(at * DAY / 1e6, UTC)
    windows = {
        "till": decode_all(records("till", 1, ahead=ahead), 3, 0),
        "plan": decode_all(records("plan", 2, ahead=ahead), 2, 0),
    }
    assert all(isinstance(rows, EqualRows) for rows in windows.values())
    each = {name: [*rows] for name, rows in windows.items()}
    together, one_by_one = (
        window_context(FEATURES, schema(context_length=length), ENTITIES, moment, rows)
        for rows in (windows, each)
    )
    for name in ("origins", "past", "known", "static"):
        np.testing.assert_array_equal(getattr(together, name), getattr(one_by_one, name))
    assert (together.status, together.detail) == (one_by_one.status, one_by_one.detail)
    assert together.freshness is not None
    assert one_by_one.freshness is not None
    for name, times in together.freshness.times.items():
        np.testing.assert_array_equal(times, one_by_one.freshness.times[name])
    if together.status[0] == "ok":  # as many steps as columns: an axis in the place of another fits
        rows = {name: windows[name][0] for name in windows}
        wanted = [rows["till"].numbers[:KEPT, 1], rows["plan"].numbers[:KEPT, 1]]
        wanted.append(rows["till"].numbers[:KEPT, 2])
        np.testing.assert_array_equal(together.past[0], np.column_stack(wanted)[-length:])


def test_records_that_differ_are_read_one_by_one() -> None:
    till = records("till", 1)
    for several in ([*till[:3], None], [*till[:3], records("till", 1, ahead=1)[0]]):
        rows = decode_all(several, 3, 0)
        assert not isinstance(rows, EqualRows)
        assert [None if row is None else len(row) for row in rows[:3]] == [KEPT + AHEAD] * 3
    assert len(decode_all([], 3, 0)) == 0
