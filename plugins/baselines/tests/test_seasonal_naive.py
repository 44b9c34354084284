"""What the seasonal naive answers, and from what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from framework_baselines import SeasonalMeanOptions, SeasonalNaiveOptions
from framework_baselines.seasonal_naive import SeasonalMean, SeasonalNaive

from framework.data.windows import Windows
from framework.errors import DataError
from framework.pairs.fit import fit_model
from framework.testing.panels import make_panel, panel_schema, plain_arrays


def fitted(panel: Any, quantiles: tuple[float, ...] = (), season: int = 3) -> SeasonalNaive:
    model = SeasonalNaive(SeasonalNaiveOptions(season_length=season))
    schema = panel_schema(panel, context_length=model.context_length(99), quantiles=quantiles)
    fit_model(plain_arrays(panel, 2), schema, model, 0, 7)
    return model


def answer(model: SeasonalNaive, *history: float) -> list[float]:
    """The mean of the first target after a window of ``history``; the second target has the same
    history.
    """
    past = np.repeat(np.array(history)[None, :, None], 2, axis=2)
    empty = np.zeros((1, 5, 0), np.float32)
    return list(
        model.predict(
            Windows(past, np.zeros((1, len(history), 0), np.float32), empty, empty[:, 0])
        )[0, :, 0, 0]
    )


def test_each_step_repeats_its_place_in_the_season() -> None:
    model = fitted(make_panel(series=2, days=40))
    assert answer(model, 1, 2, 3) == [1, 2, 3, 1, 2]
    assert answer(model, 9, 9, 1, 2, 3) == [1, 2, 3, 1, 2]
    assert model.context_length(99) == 3


def test_the_mean_is_that_of_the_same_place_in_the_last_seasons() -> None:
    mean = SeasonalMean(SeasonalMeanOptions(season_length=3))
    assert mean.context_length(99) == 12
    history = np.array([1.0, 2, np.nan, 3, 6, np.nan, 5, np.nan, np.nan])[None, :, None]
    assert mean.mean(history, 4).ravel().tolist() == [3, 4, 17 / 5, 3]
    assert mean.mean(history[:, 1:], 2).ravel().tolist() == [4, 4]


def test_nulls_fall_back_to_an_earlier_season_then_the_window_then_the_training_rows() -> None:
    panel = make_panel(series=2, days=40)
    model = fitted(panel)
    assert answer(model, 7, 8, 9, np.nan, 2, 3) == [7, 2, 3, 7, 2]
    assert answer(model, np.nan, 2, 4) == [3, 2, 4, 3, 2]
    np.testing.assert_allclose(
        answer(model, np.nan, np.nan, np.nan), np.full(5, panel.past[:, 0].mean()), rtol=1e-12
    )


def test_quantiles_are_those_of_the_training_errors() -> None:
    panel = make_panel(series=1, days=60)
    model = fitted(panel, quantiles=(0.25, 0.75), season=7)
    y = panel.past[:, 0]
    past = np.repeat(y[None, -7:, None], 2, axis=2)
    empty = np.zeros((1, 5, 0), np.float32)
    found = model.predict(Windows(past, np.zeros((1, 7, 0), np.float32), empty, empty[:, 0]))[
        0, 0, 0
    ]
    errors = y[7:] - y[:-7]
    np.testing.assert_allclose(found - y[-7], [0, *np.quantile(errors, [0.25, 0.75])], atol=1e-12)


def test_a_target_without_any_value_is_refused() -> None:
    panel = make_panel(series=2, days=40)
    panel.past[:, 1] = np.nan
    with pytest.raises(DataError, match=r"\['visits'\] have no value"):
        fitted(panel)
