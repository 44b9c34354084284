"""The forecasts are those that Darts' own ``predict`` makes of ``TimeSeries`` with the same
weights. Darts and torch are imported by the test: every process of the gate collects this file.
"""

import importlib
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from framework_darts import NLinearOptions, TFTOptions

from framework.data.arrays import Float64
from framework.data.windows import Windows
from framework.interfaces.model import COVARIATES
from framework.testing.contracts.model import windows_between
from framework.testing.panels import make_panel, panel_schema, plain_arrays

LENGTH, HORIZON = 14, 7
#: The names of our class and of Darts', our options and what Darts' class gets.
CASES: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    "nlinear": ("NLinear", NLinearOptions, "NLinearModel", {"normalize": False}),
    "tft": (
        "TFT",
        TFTOptions,
        "TFTModel",
        {"hidden_size": 4, "num_attention_heads": 2, "hidden_continuous_size": 4},
    ),
}
TRAINER = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "enable_checkpointing": False,
}


def _series(values: Any, static: Any = None) -> Any:
    from darts import TimeSeries

    made = TimeSeries.from_values(np.asarray(values, dtype=np.float32))
    if static is None:
        return made
    return made.with_static_covariates(
        pd.DataFrame(static[None], columns=[f"s{i}" for i in range(len(static))])
    )


def _by_darts(
    kind: type, options: dict[str, Any], weights: dict[str, Any], windows: Windows
) -> Float64:
    """``[n, H, T, 3]`` of Darts' model with ``weights``; its own fit, on one window, only makes the
    module.
    """
    from darts.utils.likelihood_models.torch import QuantileRegression

    n = len(windows)
    forecaster = kind(
        input_chunk_length=LENGTH,
        output_chunk_length=HORIZON,
        n_epochs=1,
        likelihood=QuantileRegression([0.1, 0.5, 0.9]),
        pl_trainer_kwargs=TRAINER,
        **options,
    )
    before = np.zeros(
        (n, LENGTH, windows.future.shape[2])
    )  # a context has no future covariates of the past
    future = [_series(values) for values in np.concatenate([before, windows.future], axis=1)]
    past = [_series(values) for values in windows.past]
    target = [_series(y, s) for y, s in zip(windows.target_past, windows.static, strict=True)]
    again = slice(0, HORIZON)
    forecaster.fit(
        _series(
            np.concatenate([windows.target_past[0], windows.target_past[0, again]]),
            windows.static[0],
        ),
        past_covariates=_series(np.concatenate([windows.past[0], windows.past[0, again]])),
        future_covariates=future[0],
        verbose=False,
    )
    forecaster.model.load_state_dict(weights)
    answers = forecaster.predict(
        HORIZON,
        target,
        past_covariates=past,
        future_covariates=future,
        predict_likelihood_parameters=True,
        verbose=False,
    )
    targets = windows.target_past.shape[2]
    return np.stack([answer.values().reshape(HORIZON, targets, 3) for answer in answers])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_numbers_are_those_of_darts_own_predict(name: str) -> None:
    import darts.models
    import framework_darts.models

    ours, options_type, theirs, options = CASES[name]
    panel = make_panel()
    schema = panel_schema(panel, context_length=LENGTH, horizon=HORIZON, quantiles=(0.1, 0.9))
    arrays = plain_arrays(panel, len(schema.targets))
    last = arrays.times.max()
    origin = last - np.timedelta64(HORIZON, "D")
    train = windows_between(arrays.until(origin), schema, None, last)
    scaling = (
        {"scaling": "none", "normalize": False}
        if name == "nlinear"
        else {**options, "scaling": "none"}
    )
    model = getattr(framework_darts.models, ours)(
        options_type(input_chunk_length=LENGTH, n_epochs=1, **scaling)
    )
    model.fit(train, None, schema, 3)
    windows = windows_between(arrays, schema, origin, origin).gather()
    windows = Windows(
        windows.target_past,
        np.nan_to_num(windows.past),
        np.nan_to_num(windows.future),
        windows.static,
    )
    weights = {key: value.float() for key, value in model._network.module.state_dict().items()}
    expected = _by_darts(getattr(darts.models, theirs), options, weights, windows)
    expected[..., 1:].sort(axis=-1)
    assert len(windows) > 3
    np.testing.assert_allclose(
        model.predict(windows), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )


def test_what_is_declared_is_what_darts_takes() -> None:
    """A refusal knows it without Darts."""
    import framework_darts as offer
    from darts.models.components import glu_variants, layer_norm_variants
    from darts.models.forecasting import tsmixer_model
    from framework_darts import models

    for name, attribute, options, _ in offer._MODELS:
        model = getattr(models, attribute)
        place, _, library = model.library.partition(":")
        module = importlib.import_module(place)
        theirs = getattr(module, library)(input_chunk_length=2, output_chunk_length=1)
        taken = {k for k in COVARIATES if getattr(theirs, f"supports_{k}_covariates")}
        assert model.takes == taken, name
        if "activation" in options.model_fields:
            assert [*get_args(offer.Activation)] == module.ACTIVATIONS, name
    declared = {
        options: get_args(options.model_fields[field].annotation)
        for options, field in [
            (offer.TFTOptions, "feed_forward"),
            (offer.TSMixerOptions, "norm_type"),
        ]
    }
    assert declared[offer.TFTOptions] == ("GatedResidualNetwork", *glu_variants.GLU_FFN)
    assert declared[offer.TSMixerOptions] == tuple(tsmixer_model.NORMS)
    for norm in get_args(TFTOptions.model_fields["norm_type"].annotation):
        assert isinstance(getattr(layer_norm_variants, norm), type)
