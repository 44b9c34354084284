"""``model=nlinear``, ``dlinear``, ``tft``, ``nbeats``, ``nhits``, ``tide`` and ``tsmixer``: Darts'
global torch models.

Past, future and static covariates are the preprocessor's features. N-BEATS and N-HiTS take past
covariates alone and say so when they are fitted.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options

#: What Darts' feed-forward networks of several models take, by torch's names.
Activation = Literal[
    "ReLU",
    "RReLU",
    "PReLU",
    "ELU",
    "Softplus",
    "Tanh",
    "SELU",
    "LeakyReLU",
    "Sigmoid",
    "GELU",
]


class DartsOptions(Options):
    """The options that all of Darts' models share, under Darts' and Lightning's names.

    ``input_chunk_length``: past steps of a window, null for two seasons. ``batch_size``: windows
    of a step; null for the largest power of 2 that leaves an epoch 100 steps, from 32 to 512; the
    pair records which. ``patience``: epochs
    without a better validation loss before training stops and the best weights are kept; null
    trains ``n_epochs``, as does a run without validation windows. ``scaling``: ``instance`` centres
    and scales each window's target by its own context, ``global`` by the training rows, and both
    every feature by the training rows; ``none`` leaves target and features. Answers are in natural
    units in each case. ``accelerator``: where it trains; where it forecasts is
    ``serving.device`` and ``predict.device``. ``precision``: of the training's arithmetic, under
    Lightning's names; weights, losses and forecasts stay in single precision at the least.
    ``threads``: torch's threads in this process, null for torch's own choice.
    """

    input_chunk_length: PositiveInt | None = None
    n_epochs: PositiveInt = 100
    batch_size: PositiveInt | None = None
    lr: PositiveFloat = 1e-3
    lr_gamma: float = Field(
        default=1.0, gt=0, le=1, description="lr is multiplied by it after each epoch"
    )
    patience: PositiveInt | None = 10
    gradient_clip_val: PositiveFloat | None = None
    loss_fn: Literal["mse", "mae"] = "mse"
    scaling: Literal["instance", "global", "none"] = "instance"
    use_past_covariates: bool = True
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: PositiveInt | None = 1

    @model_validator(mode="after")
    def _possible(self) -> DartsOptions:
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ValueError(
                "precision 16-mixed needs a GPU, accelerator is cpu; use bf16-mixed or 32-true"
            )
        return self


class MixedOptions(DartsOptions):
    """Of the models that take future and static covariates too."""

    use_future_covariates: bool = True
    use_static_covariates: bool = True


class NLinearOptions(MixedOptions):
    """Names and meanings are those of ``darts.models.NLinearModel``.

    ``normalize``: subtract the last value of the target's window from it and add it to the
    answer.
    """

    shared_weights: bool = False
    const_init: bool = True
    normalize: bool = True


class DLinearOptions(MixedOptions):
    """Names and meanings are those of ``darts.models.DLinearModel``."""

    shared_weights: bool = False
    kernel_size: PositiveInt = 25
    const_init: bool = True


class TFTOptions(MixedOptions):
    """Names and meanings are those of ``darts.models.TFTModel``.

    ``add_relative_index`` is set by itself when there are no future covariates, which TFT cannot
    do without.
    """

    hidden_size: PositiveInt = 16
    lstm_layers: PositiveInt = 1
    num_attention_heads: PositiveInt = 4
    full_attention: bool = False
    feed_forward: Literal[
        "GatedResidualNetwork", "GLU", "Bilinear", "ReGLU", "GEGLU", "SwiGLU", "ReLU", "GELU"
    ] = "GatedResidualNetwork"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    hidden_continuous_size: PositiveInt = 8
    add_relative_index: bool = False
    norm_type: Literal["LayerNorm", "LayerNormNoBias", "RMSNorm", "RINorm"] = "LayerNorm"


class NBEATSOptions(DartsOptions):
    """Names and meanings are those of ``darts.models.NBEATSModel``."""

    generic_architecture: bool = True
    num_stacks: PositiveInt = 30
    num_blocks: PositiveInt = 1
    num_layers: PositiveInt = 4
    layer_widths: PositiveInt = 256
    expansion_coefficient_dim: PositiveInt = 5
    trend_polynomial_degree: PositiveInt = 2
    dropout: float = Field(default=0.0, ge=0, lt=1)
    activation: Activation = "ReLU"


class NHiTSOptions(DartsOptions):
    """Names and meanings are those of ``darts.models.NHiTSModel``."""

    num_stacks: PositiveInt = 3
    num_blocks: PositiveInt = 1
    num_layers: PositiveInt = 2
    layer_widths: PositiveInt = 512
    dropout: float = Field(default=0.1, ge=0, lt=1)
    activation: Activation = "ReLU"


class TiDEOptions(MixedOptions):
    """Names and meanings are those of ``darts.models.TiDEModel``."""

    num_encoder_layers: PositiveInt = 1
    num_decoder_layers: PositiveInt = 1
    decoder_output_dim: PositiveInt = 16
    hidden_size: PositiveInt = 128
    temporal_width_past: int = Field(default=4, ge=0)
    temporal_width_future: int = Field(default=4, ge=0)
    temporal_decoder_hidden: PositiveInt = 32
    use_layer_norm: bool = False
    dropout: float = Field(default=0.1, ge=0, lt=1)


class TSMixerOptions(MixedOptions):
    """Names and meanings are those of ``darts.models.TSMixerModel``."""

    hidden_size: PositiveInt = 64
    ff_size: PositiveInt = 64
    num_blocks: PositiveInt = 2
    activation: Activation = "ReLU"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    norm_type: Literal["LayerNorm", "LayerNormNoBias", "TimeBatchNorm2d"] = "LayerNorm"
    normalize_before: bool = False


_MODELS: list[tuple[str, str, type[DartsOptions], str]] = [
    ("nlinear", "NLinear", NLinearOptions, "one linear layer on a window less its last value"),
    ("dlinear", "DLinear", DLinearOptions, "linear layers on trend and remainder"),
    ("tft", "TFT", TFTOptions, "Temporal Fusion Transformer"),
    ("nbeats", "NBEATS", NBEATSOptions, "N-BEATS; past covariates only"),
    ("nhits", "NHiTS", NHiTSOptions, "N-HiTS; past covariates only"),
    ("tide", "TiDE", TiDEOptions, "time-series dense encoder"),
    ("tsmixer", "TSMixer", TSMixerOptions, "mixing over time and over features"),
]


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            name,
            f"framework_darts.models:{attribute}",
            options,
            f"Darts: {summary}",
            imports=("darts.models.forecasting.pl_forecasting_module",),
        )
        for name, attribute, options, summary in _MODELS
    ]
