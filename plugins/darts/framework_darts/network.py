"""A trained module of Darts with the scales around it: what a fit leaves and a pair keeps."""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from framework.data.arrays import Float64
from framework.data.windows import Windows, WindowSet
from framework_darts import DartsOptions
from framework_darts.memory import fit_bytes
from framework_darts.modules import Sizes, build, inputs
from framework_darts.scaling import FeatureScaler, TargetScaler
from framework_darts.training import Training, batch_size_of, device_of, train

_CPU = torch.device("cpu")


def limit_threads(count: int | None) -> None:
    """Set torch's threads in this process; None: torch's own choice."""
    if count is not None:
        torch.set_num_threads(count)


def training_bytes(
    library: str,
    sizes: Sizes,
    architecture: dict[str, Any],
    windows: int,
    validation: int,
    options: DartsOptions,
) -> int:
    """Estimate what a training takes beside the rows.

    Args:
        library: The library's model, as ``module:Class``.
        sizes: Of its module.
        architecture: The library's own options.
        windows: How many are learned from.
        validation: How many are looked at.
        options: Of the training.

    Returns:
        Bytes of the machine's memory.
    """
    with torch.random.fork_rng():
        module = build(library, sizes, architecture)
        on_gpu = device_of(options.accelerator).type != _CPU.type
        size = batch_size_of(options, windows)
        return fit_bytes(module, sizes, windows + validation, size, on_gpu)


class Network:
    """One module on one device. Threads may share it."""

    def __init__(
        self,
        module: torch.nn.Module,
        sizes: Sizes,
        scaler: TargetScaler,
        features: dict[str, FeatureScaler],
    ) -> None:
        self.module, self.sizes = module.double().eval().requires_grad_(False), sizes
        self.scaler, self._features = scaler, features
        self.move(_CPU.type)
        self._turn = threading.Lock()  # a module keeps parts of its last call, such as TFT's masks

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Another process has a lock of its own."""
        vars(self).update(state)
        self._turn = threading.Lock()

    @classmethod
    def trained(
        cls,
        library: str,
        sizes: Sizes,
        architecture: dict[str, Any],
        options: DartsOptions,
        quantiles: tuple[float, ...],
        windows: WindowSet,
        validation: WindowSet | None,
        seed: int,
    ) -> tuple[Self, Training]:
        """Train a module.

        Args:
            library: The library's model, as ``module:Class``.
            sizes: Of its module.
            architecture: The library's own options.
            options: Of the training.
            quantiles: What it answers beside the mean.
            windows: To learn from.
            validation: For early stopping.
            seed: Of everything random.

        Returns:
            The network, and how it was trained.
        """
        arrays = windows.arrays
        scaler = TargetScaler.fit(
            arrays.target, options.scaling, getattr(options, "normalize", False)
        )
        features: dict[str, FeatureScaler] = {}
        if options.scaling != "none":
            features = {
                part: FeatureScaler.fit(getattr(arrays, part))
                for part in ("past", "future", "static")
                if getattr(sizes, part)
            }
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = build(library, sizes, architecture)
            training = train(
                module, sizes, scaler, features, options, quantiles, windows, validation, seed
            )
        return cls(module, sizes, scaler, features), training

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def move(self, device: str) -> None:
        """Forecast on another device from now on."""
        self._device = torch.device(device)
        self.module.to(self._device)
        self._scales = {part: scaler.on(self._device) for part, scaler in self._features.items()}

    def __call__(self, windows: Windows) -> Float64:
        """Forecast windows, as :meth:`framework.interfaces.model.Model.predict` does."""
        with torch.inference_mode():
            scaled, centre, size = self.scaler.apply(windows.target_past)
            parts = inputs(windows, scaled, self._scales, self.sizes, self._device, torch.float64)
            with self._turn:
                answer = self.module(parts).prediction.cpu().numpy()
        out: Float64 = answer.astype(np.float32) * size[..., None] + centre[..., None]
        out[..., 1:].sort(axis=-1)  # quantiles are learnt apart and may cross
        return out

    def save(self, directory: Path) -> dict[str, Any]:
        """Write the weights.

        Returns:
            What :meth:`load` needs beside them, of JSON's types.
        """
        # The weights are float32 numbers whose float64 copies answer; nothing is lost by saving
        # them as they were trained.
        weights = {
            name: tensor.cpu().numpy().astype(np.float32)
            for name, tensor in self.module.state_dict().items()
        }
        np.savez(directory / "weights.npz", **weights)
        return {
            "sizes": asdict(self.sizes),
            "scaler": self.scaler.to_json(),
            "features": {part: scaler.to_json() for part, scaler in self._features.items()},
        }

    @classmethod
    def load(
        cls, directory: Path, library: str, architecture: dict[str, Any], body: dict[str, Any]
    ) -> Self:
        """Read what :meth:`save` wrote.

        Args:
            directory: Where the weights are.
            library: The library's model, as ``module:Class``.
            architecture: The library's own options.
            body: What ``save`` returned.
        """
        sizes = Sizes(**body["sizes"])
        with torch.random.fork_rng():
            module = build(library, sizes, architecture)
        with np.load(directory / "weights.npz", allow_pickle=False) as weights:
            module.load_state_dict(
                {name: torch.from_numpy(weights[name]) for name in weights.files}
            )
        features = {
            part: FeatureScaler.from_json(scaler) for part, scaler in body["features"].items()
        }
        return cls(module, sizes, TargetScaler.from_json(body["scaler"]), features)
