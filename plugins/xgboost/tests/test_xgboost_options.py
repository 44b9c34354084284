"""XGBoost's own promises: rounds, strides, objectives, threads, memory layout."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xgboost
from framework_xgboost import Objective, XGBoostOptions
from framework_xgboost.model import XGBoost

from framework.data.windows import Windows, WindowSet
from framework.errors import ConfigError, DataError
from framework.options import validate
from framework.pairs.fit import fit_model
from framework.testing.panels import make_panel, panel_schema, plain_arrays

PANEL = make_panel(series=3, days=90)


def fitted(quantiles: tuple[float, ...] = (), panel: Any = PANEL, **options: Any) -> XGBoost:
    schema = panel_schema(panel, quantiles=quantiles)
    model = XGBoost(
        validate(
            XGBoostOptions, {"n_jobs": 1, "n_estimators": 30, "max_depth": 3, **options}, "model"
        )
    )
    fit_model(plain_arrays(panel, 2), schema, model, 14, 7)
    return model


def rounds(model: XGBoost, directory: Path) -> int:
    directory.mkdir()
    model.save(directory)
    return int(xgboost.Booster(model_file=directory / "mean_0.ubj").num_boosted_rounds())


def test_early_stopping_keeps_the_best_rounds_with_and_without_refit(tmp_path: Path) -> None:
    eager = {"n_estimators": 200, "learning_rate": 0.8, "early_stopping_rounds": 3}
    refitted, kept = fitted(**eager), fitted(**eager, refit=False)
    assert rounds(refitted, tmp_path / "a") == rounds(kept, tmp_path / "b") < 100
    assert rounds(fitted(early_stopping_rounds=None), tmp_path / "c") == 30
    assert (tmp_path / "a" / "mean_0.ubj").read_bytes() != (
        tmp_path / "b" / "mean_0.ubj"
    ).read_bytes()


def test_without_early_stopping_it_learns_from_the_validation_windows_too(tmp_path: Path) -> None:
    """The same boosters as without any validation; with refit: false the last 14 days are not
    learned from.
    """
    schema = panel_schema(PANEL)
    plain = XGBoost(
        validate(XGBoostOptions, {"n_jobs": 1, "n_estimators": 30, "max_depth": 3}, "model")
    )
    fit_model(plain_arrays(PANEL, 2), schema, plain, 0, 7)
    models = (
        plain,
        fitted(early_stopping_rounds=None),
        fitted(early_stopping_rounds=None, refit=False),
    )
    assert [rounds(model, tmp_path / str(i)) for i, model in enumerate(models)] == [30, 30, 30]
    boosters = [(tmp_path / str(i) / "mean_0.ubj").read_bytes() for i in range(3)]
    assert boosters[0] == boosters[1] != boosters[2]


def test_it_learns_the_week() -> None:
    schema, arrays = panel_schema(PANEL), plain_arrays(PANEL, 2)
    model = fitted(n_estimators=150)
    rows = np.arange(40, 70)
    windows = WindowSet(arrays, rows, 1, schema.horizon).gather()
    assert windows.target is not None
    error = np.abs(model.predict(windows)[..., 0] - windows.target).mean(axis=(0, 1))
    naive = np.abs(windows.target_past[:, -1:, :] - windows.target).mean(axis=(0, 1))
    assert (error < 0.6 * naive).all()


def test_a_stride_trains_on_fewer_origins() -> None:
    asked = Windows(
        np.zeros((1, 1, 2)),
        np.ones((1, 1, 3), np.float32),
        np.ones((1, 5, 2), np.float32),
        np.zeros((1, 2), np.float32),
    )
    assert fitted().predict(asked).tobytes() != fitted(origin_stride=3).predict(asked).tobytes()


def test_a_sample_is_drawn_by_the_seed_and_said() -> None:
    def learned(seed: int, **options: Any) -> tuple[tuple[str, ...], list[list[bytes]]]:
        options = {"n_jobs": 1, "n_estimators": 5, "max_depth": 3, **options}
        model = XGBoost(validate(XGBoostOptions, options, "model"))
        fit_model(plain_arrays(PANEL, 2), panel_schema(PANEL), model, 14, seed)
        return model.notes, model._raw

    notes, raw = learned(7, most_windows=50)
    assert notes == (
        "model.most_windows: each fit learns from 50 windows, drawn at random with seed 7",
    )
    assert learned(7, most_windows=50)[1] == raw != learned(8, most_windows=50)[1]
    assert learned(7) == learned(7, most_windows=1000)
    assert learned(7)[1] != raw


def test_small_tables_are_trained_by_one_thread_and_targets_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[tuple[str, int | None]] = set()
    boost = XGBoost.boost

    def seen_boost(model: XGBoost, params: Any, *arguments: Any) -> tuple[bytes, int]:
        seen.add((threading.current_thread().name.partition("_")[0], model.training_threads))
        return boost(model, params, *arguments)

    monkeypatch.setattr(XGBoost, "boost", seen_boost)
    options = {"quantiles": (0.1, 0.9), "early_stopping_rounds": 3, "log": ("sales", "visits")}
    alone, beside = fitted(**options), fitted(n_jobs=2, **options)
    assert seen == {("MainThread", 1), ("target", 1)}
    assert beside._raw == alone._raw
    assert beside._table.to_json() == alone._table.to_json()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in a worker of compute=processes
    assert fitted(n_jobs=None).training_threads is None
    monkeypatch.setattr("framework.models.boosting.FEW_CELLS", 100)
    seen.clear()
    fitted(n_jobs=2)
    assert seen == {("MainThread", 2)}


def test_count_objective_answers_in_natural_units() -> None:
    assert (
        10
        < float(fitted(objective="count:poisson", n_estimators=100).predict(_asked())[0, 0, 1, 0])
        < 120
    )


@pytest.mark.parametrize("objective", get_args(Objective))
def test_each_declared_objective_is_one_of_the_library(objective: str) -> None:
    rows = xgboost.DMatrix(np.arange(8.0)[:, None], np.arange(1.0, 9.0))
    assert xgboost.train({"objective": objective}, rows, 1).num_boosted_rounds() == 1


def _asked() -> Windows:
    arrays = plain_arrays(PANEL, 2)
    return Windows(
        arrays.target[50:51, None],
        arrays.past[50:51, None],
        arrays.future[None, 51:56],
        arrays.static[50:51],
    )


def test_labels_an_objective_cannot_have_are_refused() -> None:
    panel = make_panel(series=2, days=60)
    panel.past[10, 1] = -4.0
    with pytest.raises(
        DataError, match="count:poisson needs labels of 0 or more, target 'visits' goes down to -4"
    ):
        fitted(panel=panel, objective="count:poisson")
    panel.past[:, 0] = np.nan
    with pytest.raises(DataError, match="target 'sales' has no value"):
        fitted(panel=panel)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tree_method": "exact", "device": "cuda"}, "exact runs on the cpu"),
        ({"device": "cuda"}, "model.device=cuda: no GPU is visible here"),
        ({"tree_method": "exact", "objective": "reg:absoluteerror"}, "exact cannot train"),
        ({"objective": "reg:sqarederror"}, "model.objective"),
        ({"max_dept": 3}, "Did you mean 'max_depth'"),
        ({"subsample": 0}, "model.subsample"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fitted(**options)


def test_quantiles_need_a_tree_method_that_has_them() -> None:
    with pytest.raises(ConfigError, match="exact cannot train quantiles"):
        fitted(quantiles=(0.1, 0.9), tree_method="exact")
    assert np.isfinite(fitted(quantiles=(0.5,), tree_method="approx").predict(_asked())).all()
    assert np.isfinite(fitted(tree_method="exact").predict(_asked())).all()


def test_few_rows_and_many_have_the_same_bits(tmp_path: Path) -> None:
    model, one = fitted(quantiles=(0.1, 0.9)), _asked()
    many = Windows(
        *(
            np.repeat(part, 2000, axis=0)
            for part in (one.target_past, one.past, one.future, one.static)
        )
    )
    assert model.predict(many)[1999].tobytes() == model.predict(one)[0].tobytes()
    model.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["quantiles"] == [0.1, 0.9]


def test_an_objective_of_its_own_changes_its_target_alone() -> None:
    plain, mixed = (
        fitted(),
        fitted(objectives={panel_schema(PANEL).targets[0]: "reg:absoluteerror"}),
    )
    assert plain._raw[0] != mixed._raw[0]
    assert plain._raw[1] == mixed._raw[1]
    with pytest.raises(ConfigError, match=r"model\.objectives: \['nothing'\] are no targets"):
        fitted(objectives={"nothing": "reg:absoluteerror"})


def test_one_matrix_for_all_boosters_answers_the_bits_of_each_in_place() -> None:
    """Also where numbers are null, and where they are infinite, which no matrix holds."""
    model = fitted((0.1, 0.9))
    boosters = [booster for row in model._boosters for booster in row]
    shape = (40, boosters[0].few.num_features())
    rows = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf):
        rows[5, 1] = value
        expected = [one.few.inplace_predict(rows) for one in boosters]
        for answer, one in zip(model.answers(boosters, rows), expected, strict=True):
            assert np.array_equal(answer, one)
