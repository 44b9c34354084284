"""Many rows reach LightGBM piece by piece: the same boosters, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from framework_lightgbm import LightGBMOptions
from framework_lightgbm import model as lightgbm_model
from framework_lightgbm.model import LightGBM

from framework.models import window_sets
from framework.pairs.fit import fit_model
from framework.testing.panels import make_panel, panel_schema, plain_arrays


def test_pieces_give_the_same_boosters(monkeypatch: pytest.MonkeyPatch) -> None:
    from framework_lightgbm import rows  # LightGBM is imported by this test alone

    panel = make_panel()
    schema = panel_schema(panel, quantiles=(0.1, 0.9))
    arrays = plain_arrays(panel, len(schema.targets))
    arrays.target[5, 0] = np.nan  # a row without a label
    options = LightGBMOptions(n_estimators=4, n_jobs=1, early_stopping_rounds=2, refit=True)
    sizes: list[int] = []

    def boosters(**changes: Any) -> list[list[bytes]]:
        for name, value in changes.items():
            monkeypatch.setattr(lightgbm_model if name == "KEPT" else window_sets, name, value)
        model = LightGBM(options)
        fit_model(arrays, schema, model, 10, 1)
        return model._raw

    params = LightGBM._params  # bins are made of rows that are drawn by the seed
    few = {"bin_construct_sample_cnt": 200}
    monkeypatch.setattr(LightGBM, "_params", lambda self, seed: params(self, seed) | few)
    whole = boosters()
    read = rows._Piece.__getitem__

    def counted(self: Any, index: Any) -> Any:
        sizes.append(len(self))
        return read(self, index)

    monkeypatch.setattr(rows._Piece, "__getitem__", counted)
    assert boosters(KEPT=0, ROWS=100, BYTES=0) == whole
    assert max(sizes) <= 100
