"""Target transforms against plain formulas, and both boosters in natural units whatever they
learn.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.errors import ConfigError, DataError
from framework.models.target_transforms import FLOOR, TargetTransform
from framework.pairs.fit import fit_model
from framework.plugins.discovery import load_plugins
from framework.testing.panels import make_panel, panel_schema, plain_arrays

PLUGINS = load_plugins()
ANCHOR = np.array([0, 1])


def windows(past: list[list[float]]) -> Windows:
    """``[n]`` windows of one step whose past features are given; two steps ahead."""
    given = np.array(past, dtype=np.float32)[:, None, :]
    n = len(given)
    return Windows(
        np.zeros((n, 1, 1)), given, np.zeros((n, 2, 0), np.float32), np.zeros((n, 0), np.float32)
    )


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("anchor", [None, ANCHOR])
@pytest.mark.parametrize("scale", [None, 2])
def test_as_learned_and_back_is_what_it_was(log: bool, anchor: Any, scale: int | None) -> None:
    given = windows([[4, 9, 2], [1, 3, 8]])
    values = np.array([[5.0, 7.0], [0.0, 16.0]])
    transform = TargetTransform(anchor, log, scale, typical=2.0)
    learned = transform.forward(values, given)
    size = np.array([[2.0], [8.0]]) if scale is not None else 1.0
    expected, level = values / size, np.array([[4, 9], [1, 3]]) / size
    if log:
        expected, level = np.log(1 + expected), np.log(1 + level)
    if anchor is not None:
        expected = expected - level
    assert np.allclose(learned, expected, rtol=1e-14)
    assert np.allclose(
        transform.back(learned[..., None], given)[..., 0], values, rtol=1e-12, atol=1e-12
    )
    assert np.allclose(
        TargetTransform.from_json(transform.to_json()).back(learned[..., None], given)[..., 0],
        values,
        rtol=1e-12,
        atol=1e-12,
    )


def test_a_null_or_vanishing_scale_is_the_typical_one_or_its_floor() -> None:
    given = windows([[0, 0, np.nan], [0, 0, 0], [0, 0, -3], [0, 0, 5]])
    scales = TargetTransform(scale=2, typical=4.0).scales(given)
    assert scales is not None
    assert scales.tolist() == [4, FLOOR * 4, FLOOR * 4, 5]


def test_a_null_anchor_takes_nothing_away() -> None:
    given = windows([[np.nan, 3, 1]])
    assert TargetTransform(ANCHOR, log=True).forward(np.array([[1.0, 1.0]]), given).tolist() == [
        [np.log(2), np.log(2) - np.log(4)]
    ]


def test_the_mean_is_smeared_and_quantiles_are_not() -> None:
    errors = np.random.default_rng(1).normal(0, 1, 200_000)
    transform = TargetTransform(log=True).with_errors(errors)
    mean, median = transform.back(np.full((1, 2, 2), 2.0), windows([[0, 0, 0]]))[0, 0]
    assert abs(mean - (np.exp(2 + errors).mean() - 1)) < 1e-9
    assert (
        abs(mean / (np.exp(2.5) - 1) - 1) < 0.02
    )  # the mean of a log-normal, known in closed form
    assert median == np.exp(2.0) - 1
    assert TargetTransform().with_errors(errors).smear == 1


def skewed(trend: float = 1.0) -> tuple[PanelArrays, Schema]:
    """Log-normal sales of shops that differ by a factor of a thousand; a feature holds their
    rolling mean.
    """
    panel = make_panel(series=6, days=200)
    schema = panel_schema(panel, quantiles=(0.1, 0.5, 0.9))
    arrays = plain_arrays(panel, 2)
    generator = np.random.default_rng(2)
    size = np.repeat(np.geomspace(1, 1000, 6), np.diff(arrays.offsets))
    target = arrays.target.copy()
    target[:, 0] = size * np.exp(generator.normal(0, 0.6, len(size)) * trend)
    past = np.column_stack([target.astype(np.float32), size.astype(np.float32)])
    return replace(
        arrays, target=target, past=past, past_names=("sales", "visits", "sales_rolling_28_mean")
    ), schema


def model(name: str, **options: Any) -> Any:
    component = PLUGINS.find("model", name)
    return PLUGINS.load("model", name)(
        component.options.model_validate(
            {"n_jobs": 1, "n_estimators": 60, "max_depth": 3, **options}
        )
    )


@pytest.mark.gate_cases(6)
@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
@pytest.mark.parametrize(
    "options",
    [
        {"log": ["sales"]},
        {"scale": {"sales": "sales_rolling_28_mean"}},
        {"log": ["sales"], "scale": {"sales": "sales_rolling_28_mean"}},
    ],
    ids=["log", "scale", "both"],
)
@pytest.mark.parametrize("validation", [0, 40])
def test_boosters_answer_in_natural_units(
    name: str, options: dict[str, Any], validation: int, tmp_path: Path
) -> None:
    arrays, schema = skewed()
    fitted = model(name, **options)
    fit_model(arrays, schema, fitted, validation, 3)
    asked = WindowSet(
        arrays,
        np.flatnonzero(arrays.series_ends() - np.arange(len(arrays.times)) == 6),
        1,
        schema.horizon,
    ).gather()
    got = fitted.predict(asked)
    size = np.geomspace(1, 1000, 6)[:, None]
    assert (
        np.abs(np.log(got[:, :, 0, 0] / (size * np.exp(0.18)))).mean() < 0.25
    )  # the mean of a log-normal
    assert np.abs(np.log(got[:, :, 0, 2] / size)).mean() < 0.25  # its median
    assert (np.diff(got[:, :, 0, 1:], axis=-1) >= 0).all()
    fitted.save(tmp_path)
    assert type(fitted).load(tmp_path).predict(asked).tobytes() == got.tobytes()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_another_target_is_left_as_it_is(name: str) -> None:
    arrays, schema = skewed()
    plain, logged = model(name), model(name, log=["sales"])
    for each in (plain, logged):
        fit_model(arrays, schema, each, 0, 3)
    asked = WindowSet(arrays, np.arange(50, 60), 1, schema.horizon).gather()
    assert plain.predict(asked)[:, :, 1].tobytes() == logged.predict(asked)[:, :, 1].tobytes()
    assert plain.predict(asked)[:, :, 0].tobytes() != logged.predict(asked)[:, :, 0].tobytes()


def test_what_cannot_be_transformed_is_refused_by_its_key() -> None:
    arrays, schema = skewed()

    def fit(given: PanelArrays = arrays, name: str = "xgboost", **options: Any) -> None:
        fit_model(given, schema, model(name, **options), 0, 3)

    with pytest.raises(
        ConfigError, match=r"model\.log: 'nothing' is not one of the targets \['sales', 'visits'\]"
    ):
        fit(log=["nothing"])
    with pytest.raises(ConfigError, match=r"model\.scale\.sales: there is no feature 'size'"):
        fit(scale={"sales": "size"})
    centred = replace(arrays, past=arrays.past - arrays.past.mean(axis=0) - 1000)
    with pytest.raises(
        ConfigError,
        match=r"model\.scale\.sales: feature 'sales_rolling_28_mean' is not above 0 in most rows",
    ):
        fit(centred, scale={"sales": "sales_rolling_28_mean"})
    with pytest.raises(DataError, match=r"model\.log: target 'sales' goes down to -\d"):
        fit(replace(arrays, target=arrays.target - 500), log=["sales"])
    with pytest.raises(
        ConfigError,
        match=r"model\.difference: 'sales' has differences below 0, objective count:poisson cannot",
    ):
        fit(seasonal_lags=[1], difference=["sales"], objective="count:poisson")


def test_where_its_feature_is_null_a_target_takes_its_series_own_values() -> None:
    """A null anchor or scale must not leave a small series at the typical size of the others, nor
    at nothing.
    """
    nan = float("nan")
    given = replace(
        windows([[nan, 9, nan], [nan, nan, nan]]), target_past=np.array([[[4.0]], [[nan]]])
    )
    scaled = TargetTransform(scale=2, typical=1000.0, target=0)
    assert np.array_equal(scaled.scales(given), [4, 1000])
    anchored = TargetTransform(ANCHOR, target=0)
    assert np.array_equal(anchored.forward(np.zeros((2, 2)), given), [[-4, -9], [0, 0]])
    older = np.array([[[4.0], [7.0]], [[nan], [nan]]])
    assert np.array_equal(
        anchored.forward(np.zeros((2, 2)), replace(given, target_past=older))[0], [-7, -9]
    )
    again = TargetTransform.from_json(scaled.to_json())
    assert again == scaled
    before = scaled.to_json()
    del before["target"]
    assert TargetTransform.from_json(before).scales(given).tolist() == [1000, 1000]  # type: ignore[union-attr]
