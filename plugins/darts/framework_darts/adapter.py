"""One adapter over Darts' global torch models.

Torch and Darts are imported by what fits, loads or asks a network, so that a wrong option or column
is refused at once.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.interfaces.model import COVARIATES, Covariates, FitSize, Model
from framework_darts import DartsOptions, MixedOptions

if TYPE_CHECKING:
    from framework_darts.modules import Sizes
    from framework_darts.network import Network

#: Windows that go through a module at once when forecasting; bounds the memory of a large call.
CHUNK = 512

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
    #: The kinds of covariates that the library's model can take.
    takes: ClassVar[frozenset[Covariates]] = frozenset(COVARIATES)
    options: DartsOptions
    #: What a fit takes, once it is known: several lines ask for it.
    _counted: tuple[FitSize, int] | None = None
    _network: Network
    #: Windows of a step of the fit.
    _batch_size: int | None = None

    def context_length(self, schema_hint: int) -> int:
        return self.options.input_chunk_length or max(2 * schema_hint, 2)

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        shared: frozenset[Covariates] = (
            frozenset({"past", "future"})
            if getattr(self.options, "shared_weights", False)
            else frozenset()
        )
        return frozenset(
            kind
            for kind in self.takes - shared
            if getattr(self.options, f"use_{kind}_covariates", True)
        )

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        """Raise :class:`framework.errors.ConfigError` also where a GPU is asked for and torch sees
        none, or the device cannot do the precision.
        """
        if self.options.accelerator != "cpu":
            from framework_darts.training import check_device

            check_device(self.options)

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        if self._counted is None or self._counted[0] != size:
            self._counted = size, self._count(size)
        return self._counted[1]

    def _count(self, size: FitSize) -> int:
        from framework_darts.modules import Sizes
        from framework_darts.network import training_bytes

        widths = {
            part: getattr(size, part) if part in self.covariates else 0 for part in COVARIATES
        }
        sizes = Sizes(
            size.context_length, size.horizon, size.targets, outputs=1 + size.quantiles, **widths
        )
        return training_bytes(
            self.library,
            sizes,
            self._architecture(sizes),
            size.windows,
            size.validation,
            self.options,
        )

    def fit(
        self, train_windows: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        from framework_darts.modules import Sizes
        from framework_darts.network import Network, limit_threads

        limit_threads(self.options.threads)
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
        self._network, training = Network.trained(
            self.library,
            sizes,
            self._architecture(sizes),
            self.options,
            schema.quantiles,
            train_windows,
            validation,
            seed,
        )
        self._batch_size = training.batch_size
        log.info(
            "%s: %d epochs in batches of %d, %d parameters",
            type(self).__name__,
            training.epochs,
            training.batch_size,
            self._network.parameters,
        )

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

    def gpus(self) -> int | None:
        import torch

        return torch.cuda.device_count()

    def move(self, device: str) -> None:
        self._network.move(device)

    def predict(self, windows: Windows) -> Float64:
        if len(windows) <= CHUNK:
            return self._network(windows)
        return np.concatenate(
            [
                self._network(windows.part(start, start + CHUNK))
                for start in range(0, len(windows), CHUNK)
            ]
        )

    def save(self, directory: Path) -> None:
        options = {**self.options.model_dump(mode="json"), "batch_size": self._batch_size}
        body = {"options": options, **self._network.save(directory)}
        (directory / "model.json").write_text(json.dumps(body))

    @classmethod
    def load(cls, directory: Path) -> Self:
        from framework_darts.modules import Sizes
        from framework_darts.network import Network, limit_threads

        body = json.loads((directory / "model.json").read_text())
        model = cls(cls.options_type(**body["options"]))
        model._batch_size = model.options.batch_size
        limit_threads(model.options.threads)
        architecture = model._architecture(Sizes(**body["sizes"]))
        model._network = Network.load(directory, cls.library, architecture, body)
        return model
