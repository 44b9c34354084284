"""One adapter over Darts' global torch models."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.interfaces.model import COVARIATES, Covariates, FitSize, Model
from framework_darts import DartsOptions, MixedOptions
from framework_darts.memory import fit_bytes
from framework_darts.modules import Sizes, build, inputs, supports
from framework_darts.scaling import FeatureScaler, TargetScaler
from framework_darts.training import device_of, train

#: Windows that go through a module at once when forecasting; bounds the memory of a large call.
CHUNK = 512

_CPU = torch.device("cpu")

log = logging.getLogger(__name__)


class DartsModel(Model):
    """Subclasses name the library's model. The module's first output is the mean, the others are
    the schema's quantiles.

    Trained in float32; forecast in float64, rounded to float32 in scaled units. torch's matrix
    kernels add in an order that depends on the number of rows, which moves the last bits of a
    float64; the rounding, 2^29 times coarser, removes that, so a window's forecast is the same
    number alone and in a batch.
    """

    requirements = ("darts", "pytorch-lightning", "torch")
    library: ClassVar[str]
    options_type: ClassVar[type[DartsOptions]]
    options: DartsOptions
    #: What a fit takes, once it is known: several lines ask for it.
    _counted: tuple[FitSize, int] | None = None

    def context_length(self, schema_hint: int) -> int:
        return self.options.input_chunk_length or max(2 * schema_hint, 2)

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        shared = (
            {"past": False, "future": False}
            if getattr(self.options, "shared_weights", False)
            else {}
        )
        can = supports(self.library) | shared
        return frozenset(
            kind
            for kind in COVARIATES
            if can[kind] and getattr(self.options, f"use_{kind}_covariates", True)
        )

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        """Raise :class:`ConfigError` for a GPU that is not there."""
        device_of(self.options.accelerator)

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        if self._counted is None or self._counted[0] != size:
            self._counted = size, self._count(size)
        return self._counted[1]

    def _count(self, size: FitSize) -> int:
        widths = {
            part: getattr(size, part) if part in self.covariates else 0 for part in COVARIATES
        }
        sizes = Sizes(
            size.context_length, size.horizon, size.targets, outputs=1 + size.quantiles, **widths
        )
        with torch.random.fork_rng():
            module = build(self.library, sizes, self._architecture(sizes))
            return fit_bytes(
                module,
                sizes,
                size.windows + size.validation,
                self.options.batch_size,
                device_of(self.options.accelerator).type != _CPU.type,
            )

    def fit(
        self, train_windows: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self._limit_threads()
        arrays = train_windows.arrays
        widths = self._widths(
            {part: getattr(arrays, part).shape[1] for part in ("past", "future", "static")}
        )
        sizes = Sizes(
            schema.context_length,
            schema.horizon,
            len(schema.targets),
            outputs=1 + len(schema.quantiles),
            **widths,
        )
        scaler = TargetScaler.fit(
            arrays.target, self.options.scaling, getattr(self.options, "normalize", False)
        )
        features: dict[str, FeatureScaler] = {}
        if self.options.scaling != "none":
            features = {
                part: FeatureScaler.fit(getattr(arrays, part))
                for part, width in widths.items()
                if width
            }
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = build(self.library, sizes, self._architecture(sizes))
            epochs = train(
                module,
                sizes,
                scaler,
                features,
                self.options,
                schema.quantiles,
                train_windows,
                validation,
                seed,
            )
        log.info(
            "%s: %d epochs, %d parameters",
            type(self).__name__,
            epochs,
            sum(p.numel() for p in module.parameters()),
        )
        self._adopt(module, sizes, scaler, features)

    def _widths(self, widths: dict[str, int]) -> dict[str, int]:
        """Features by kind that the module gets; says which it cannot take."""
        unused = [
            f"{width} {part}"
            for part, width in widths.items()
            if width and part not in self.covariates
        ]
        if unused:
            log.warning("%s leaves out %s features.", type(self).__name__, " and ".join(unused))
        return {part: width if part in self.covariates else 0 for part, width in widths.items()}

    def _architecture(self, sizes: Sizes) -> dict[str, Any]:
        """The library's own constructor options."""
        own = {
            k: v for k, v in self.options.model_dump().items() if k not in MixedOptions.model_fields
        }
        if "normalize" in own:
            own["normalize"] = False  # the scaler does it: Darts' own cannot answer quantiles
        if "add_relative_index" in own and not sizes.future:
            own["add_relative_index"] = True
        return own

    def _limit_threads(self) -> None:
        if self.options.threads is not None:
            torch.set_num_threads(self.options.threads)

    def _adopt(
        self,
        module: torch.nn.Module,
        sizes: Sizes,
        scaler: TargetScaler,
        features: dict[str, FeatureScaler],
    ) -> None:
        self._module, self._sizes = module.double().eval().requires_grad_(False), sizes
        self._scaler, self._features, self._device = scaler, features, _CPU
        self._turn = threading.Lock()  # a module keeps parts of its last call, such as TFT's masks

    def gpus(self) -> int | None:
        return torch.cuda.device_count()

    def move(self, device: str) -> None:
        self._device = torch.device(device)
        self._module.to(self._device)

    def predict(self, windows: Windows) -> Float64:
        if len(windows) <= CHUNK:
            return self._answer(windows)
        return np.concatenate(
            [
                self._answer(windows.part(start, start + CHUNK))
                for start in range(0, len(windows), CHUNK)
            ]
        )

    def _answer(self, windows: Windows) -> Float64:
        with torch.inference_mode():
            scaled, centre, size = self._scaler.apply(windows.target_past)
            parts = inputs(
                windows, scaled, self._features, self._sizes, self._device, torch.float64
            )
            with self._turn:
                answer = self._module(parts).prediction.cpu().numpy()
        out: Float64 = answer.astype(np.float32) * size[..., None] + centre[..., None]
        out[..., 1:].sort(axis=-1)  # quantiles are learnt apart and may cross
        return out

    def save(self, directory: Path) -> None:
        # The weights are float32 numbers whose float64 copies answer; nothing is lost by saving
        # them as they were trained.
        weights = {
            name: tensor.cpu().numpy().astype(np.float32)
            for name, tensor in self._module.state_dict().items()
        }
        np.savez(directory / "weights.npz", **weights)
        body = {
            "options": self.options.model_dump(mode="json"),
            "sizes": asdict(self._sizes),
            "scaler": self._scaler.to_json(),
            "features": {part: scaler.to_json() for part, scaler in self._features.items()},
        }
        (directory / "model.json").write_text(json.dumps(body))

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        model = cls(cls.options_type(**body["options"]))
        model._limit_threads()
        sizes = Sizes(**body["sizes"])
        with torch.random.fork_rng():
            module = build(cls.library, sizes, model._architecture(sizes))
        with np.load(directory / "weights.npz", allow_pickle=False) as weights:
            module.load_state_dict(
                {name: torch.from_numpy(weights[name]) for name in weights.files}
            )
        features = {
            part: FeatureScaler.from_json(scaler) for part, scaler in body["features"].items()
        }
        model._adopt(module, sizes, TargetScaler.from_json(body["scaler"]), features)
        return model
