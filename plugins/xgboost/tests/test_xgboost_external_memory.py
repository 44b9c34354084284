"""``model.external_memory``: the bins in files, the same boosters, nothing left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from framework_xgboost import XGBoostOptions
from framework_xgboost.model import XGBoost

from framework.data.scratch import Scratch
from framework.errors import ConfigError
from framework.interfaces.model import FitSize
from framework.models import window_sets
from framework.options import validate
from framework.pairs.fit import fit_model
from framework.testing.panels import make_panel, panel_schema, plain_arrays


def test_bins_in_files_give_the_same_boosters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import xgboost  # by this test: every process of the gate collects this file
    from framework_xgboost import matrix

    panel = make_panel()
    schema = panel_schema(panel, quantiles=(0.1, 0.9))
    arrays = plain_arrays(panel, len(schema.targets))
    arrays = replace(arrays, scratch=Scratch(tmp_path))
    for name, value in (("ROWS", 100), ("BYTES", 0)):
        monkeypatch.setattr(window_sets, name, value)
    monkeypatch.setattr(matrix, "PAGE", 5)
    pages: list[int] = []

    class Counted(xgboost.ExtMemQuantileDMatrix):  # type: ignore[misc]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            pages.append(len(list(tmp_path.glob(".scratch-*/page*"))))

    monkeypatch.setattr(xgboost, "ExtMemQuantileDMatrix", Counted)

    def boosters(external: bool) -> list[list[bytes]]:
        model = XGBoost(
            XGBoostOptions(
                n_estimators=4, n_jobs=1, early_stopping_rounds=2, external_memory=external
            )
        )
        fit_model(arrays, schema, model, 10, 1)
        return model._raw

    assert boosters(True) == boosters(False)
    assert pages
    assert min(pages) > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("max_bin", [256, 512])
def test_the_room_of_the_bins_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bin: int
) -> None:
    import xgboost

    panel = make_panel(days=2000)
    schema = panel_schema(panel)
    arrays = replace(plain_arrays(panel, len(schema.targets)), scratch=Scratch(tmp_path))
    model = XGBoost(
        XGBoostOptions(
            n_estimators=1,
            n_jobs=1,
            early_stopping_rounds=2,
            max_bin=max_bin,
            external_memory=True,
        )
    )
    sizes: list[int] = []

    class Measured(xgboost.ExtMemQuantileDMatrix):  # type: ignore[misc]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            sizes.append(sum(page.stat().st_size for page in tmp_path.glob(".scratch-*/page*")))

    monkeypatch.setattr(xgboost, "ExtMemQuantileDMatrix", Measured)
    fit_model(arrays, schema, model, 10, 1)
    windows = int(np.maximum(np.diff(panel.offsets) - schema.context_length, 0).sum())
    later = 10 * len(panel.entities)
    past, future, static = (a.shape[1] for a in (arrays.past, arrays.future, arrays.static))
    steps = schema.context_length, schema.horizon
    size = FitSize(windows - later, later, *steps, past, future, static, len(schema.targets), 0)
    assert max(sizes) <= model.disk(size) <= 2 * max(sizes)
    model.options = model.options.model_copy(update={"external_memory": False})
    assert model.disk(size) == 0


def test_what_cannot_go_through_files_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"external_memory needs tree_method hist and device cpu"):
        validate(XGBoostOptions, {"external_memory": True, "tree_method": "approx"}, "model")
