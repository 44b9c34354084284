"""Darts' Chronos-2 module, read from a folder and fed from arrays."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from darts.models.forecasting.chronos2_model import _Chronos2Module
from safetensors import SafetensorError
from safetensors.torch import load_file

from framework.data.arrays import Float32, Float64
from framework.errors import ConfigError, one_line
from framework_foundation.weights import CONFIG, WEIGHTS, read_config


class Module:
    """The network on one device. It keeps nothing of a call, so threads may share it."""

    def __init__(self, network: Any, levels: Float64, horizon: int) -> None:
        self._network, self.levels, self._horizon = network, levels, horizon
        self._device = torch.device("cpu")
        self._patch = network.chronos_config.output_patch_size

    @classmethod
    def read(cls, folder: Path, horizon: int) -> Module:
        """Build the network and read its weights. Darts' own loader would ask a hub for a file
        that is missing.

        Args:
            folder: The folder of the weights.
            horizon: The steps ahead.

        Raises:
            ConfigError: Configuration and weights are not those of one Chronos-2 model.
        """
        config = read_config(folder)
        names = set(inspect.signature(_Chronos2Module.__init__).parameters) - {"self", "kwargs"}
        try:
            with torch.random.fork_rng():
                network = _Chronos2Module(
                    **{name: value for name, value in config.items() if name in names},
                    input_chunk_length=1,
                    output_chunk_length=horizon,
                )
            network.load_state_dict(load_file(folder / WEIGHTS))
        except (TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(
                f"model.weights: {folder / CONFIG} and {folder / WEIGHTS} are not those of one "
                f"Chronos-2 model: {one_line(error, 200)}"
            ) from error
        network = network.float().eval().requires_grad_(False)
        levels = np.array(config["chronos_config"]["quantiles"], dtype=np.float64)
        return cls(network, levels, horizon)

    def move(self, device: str) -> None:
        """Forecast on another device from now on."""
        self._device = torch.device(device)
        self._network.to(self._device)

    def __call__(self, past: Float32, future: Float32) -> Float32:
        """Forecast the variates of one window together.

        Args:
            past: ``[variates, L]``, NaN where unknown.
            future: ``[variates, H]``, NaN where it is to be forecast.

        Returns:
            ``[variates, H, levels]``.
        """
        patches = math.ceil(self._horizon / self._patch)
        with torch.inference_mode():
            answer = self._network._forward(
                context=torch.from_numpy(past).to(self._device),
                group_ids=torch.zeros(len(past), dtype=torch.long, device=self._device),
                future_covariates=torch.from_numpy(future).to(self._device),
                num_output_patches=patches,
            )
            shape = (len(past), patches, len(self.levels), self._patch)
            steps = answer.view(shape).permute(0, 1, 3, 2).reshape(len(past), -1, len(self.levels))
        values: Float32 = steps[:, : self._horizon].cpu().numpy()
        return values
