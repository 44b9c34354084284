"""Darts' torch modules, made and fed from arrays: no time series object in between."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from darts.utils.data.torch_datasets.utils import PLModuleInput, TorchTrainingSample
from darts.utils.likelihood_models.torch import QuantileRegression

from framework.data.arrays import Float32, Float64
from framework.data.windows import Windows
from framework_darts.scaling import Scale, scale_features


class Outputs(QuantileRegression):
    """Tells a module how many numbers to answer for a target and step; the losses are this
    package's own.
    """

    def __init__(self, count: int) -> None:
        super().__init__([0.5])
        self._count = count

    @property
    def num_parameters(self) -> int:
        return self._count


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a module. A width is 0 where the model has or takes no covariates."""

    length: int
    horizon: int
    targets: int
    past: int
    future: int
    static: int
    outputs: int  # the mean and the quantiles


def build(library: str, sizes: Sizes, architecture: dict[str, Any]) -> torch.nn.Module:
    """A new module of the library's model ``library`` (``module:Class``), initialised from torch's
    global generator.
    """

    def zeros(rows: int, columns: int) -> np.ndarray | None:
        return np.zeros((rows, columns), np.float32) if columns else None

    sample = TorchTrainingSample(
        past_target=zeros(sizes.length, sizes.targets),
        past_covariates=zeros(sizes.length, sizes.past),
        historic_future_covariates=zeros(sizes.length, sizes.future),
        future_covariates=zeros(sizes.horizon, sizes.future),
        static_covariates=zeros(1, sizes.static),
        future_target=zeros(sizes.horizon, sizes.targets),
    )
    place, _, name = library.partition(":")
    forecaster = getattr(importlib.import_module(place), name)(
        input_chunk_length=sizes.length,
        output_chunk_length=sizes.horizon,
        likelihood=Outputs(sizes.outputs),
        **architecture,
    )
    forecaster.pl_module_params["train_sample_shape"] = sample.sample_shapes()
    module: torch.nn.Module = forecaster._create_model(sample)
    return module.float()


def module_input(count: int, sizes: Sizes) -> PLModuleInput:
    """Make the input of some windows, of ones."""

    def ones(steps: int, width: int) -> torch.Tensor | None:
        return torch.ones(count, steps, width) if width else None

    return PLModuleInput(
        past_target=torch.ones(count, sizes.length, sizes.targets),
        past_covariates=ones(sizes.length, sizes.past),
        historic_future_covariates=ones(sizes.length, sizes.future),
        future_covariates=ones(sizes.horizon, sizes.future),
        static_covariates=ones(1, sizes.static),
    )


def inputs(
    windows: Windows,
    scaled: Float64,
    scales: Mapping[str, Scale],
    sizes: Sizes,
    device: torch.device,
    dtype: torch.dtype,
) -> PLModuleInput:
    """A module's input: the target as ``scaled``, past, future and static by their scale, which is
    on the device.

    Darts' modules also take the past of the future covariates; a context has known-in-advance
    columns for the steps ahead only, so that part is 0 in training and serving alike. What is known
    of the past belongs to the past features.
    """

    def tensor(part: str, values: Float32) -> torch.Tensor | None:
        if not getattr(sizes, part):
            return None
        return scale_features(torch.as_tensor(values, device=device), scales.get(part), dtype)

    nothing = torch.zeros(1, 1, 1, dtype=dtype, device=device).expand(
        len(windows), sizes.length, sizes.future
    )
    return PLModuleInput(
        past_target=torch.as_tensor(scaled, dtype=dtype, device=device),
        past_covariates=tensor("past", windows.past),
        historic_future_covariates=nothing if sizes.future else None,
        future_covariates=tensor("future", windows.future),
        static_covariates=tensor("static", windows.static[:, None, :]),
    )
