"""The rows of a large panel are transformed block by block: the same bits as at once."""

from __future__ import annotations

import numpy as np
import pytest

from framework.options import validate
from framework.pairs import pair
from framework.pairs.fit import fit_preprocessor
from framework.plugins.discovery import load_plugins
from framework.testing.panels import make_panel, panel_schema


def test_blocks_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins, panel = load_plugins(), make_panel()
    schema = panel_schema(panel)
    options = validate(
        plugins.find("preprocessor", "native").options,
        {
            "past": [{"step": "scale", "columns": list(schema.past[-1:])}],
            "future": [{"step": "calendar", "fields": ["day_of_week", "month"]}],
        },
        "preprocessor",
    )
    preprocessor = plugins.load("preprocessor", "native")(options)
    whole = fit_preprocessor(panel, schema, preprocessor)
    monkeypatch.setattr(pair, "BLOCK", 97)
    blocks = fit_preprocessor(panel, schema, preprocessor)
    assert len(panel) > 2 * 97
    for name in ("target", "past", "future", "static"):
        one, other = getattr(whole, name), getattr(blocks, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=True)
    assert not np.shares_memory(whole.target, panel.past)  # else it keeps every column
