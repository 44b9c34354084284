"""LightGBM's boosters, saved as its text: ``mean_{t}.txt`` and, by the quantile's place,
``quantile_{q}_{t}.txt``. The library is imported by what fits or reads a booster, so that a wrong
option is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.schema import Schema
from framework.data.windows import WindowSet
from framework.errors import ConfigError, one_line
from framework.models.boosting import MANY_ROWS, BoostedModel, Output
from framework.models.options import BoostingOptions
from framework.models.progress import tell
from framework.models.window_table import Tabular
from framework_lightgbm import LightGBMOptions

if TYPE_CHECKING:
    import lightgbm

#: Bytes of rows that are made at once; more of them come piece by piece, and are made anew for each
#: of the three times that they are read.
KEPT = 256 * 2**20
_NOT_BOOSTED = {*BoostingOptions.model_fields, "objective"}


class LightGBM(BoostedModel["lightgbm.Dataset", "lightgbm.Booster"]):
    """The mean by ``objective``, each quantile by a booster of its own."""

    requirements = ("lightgbm",)
    options_type = LightGBMOptions
    suffix = "txt"
    bounded: ClassVar[Mapping[str, bool]] = {"poisson": True, "tweedie": True, "gamma": False}
    most_read = 2 * KEPT
    options: LightGBMOptions

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        """Raise :class:`ConfigError` also where LightGBM cannot train on the device: few of its
        builds can use a GPU.
        """
        device = self.options.device_type
        if device != "cpu":
            import lightgbm

            few = lightgbm.Dataset(np.arange(64.0)[:, None], np.arange(64.0))
            try:
                lightgbm.train({"device_type": device, "verbosity": -1}, few, 1)
            except lightgbm.basic.LightGBMError as error:
                raise ConfigError(
                    f"model.device_type={device}: {one_line(error, 200)}; use "
                    "model.device_type=cpu."
                ) from error
        super().check(schema, past_names)

    @property
    def table_bytes(self) -> tuple[int, float, float]:
        """The rows and the pieces that they are put together from, as floats; then bins."""
        return 48 * 2**20, 8.0, 1.0

    def objective(self, target: str) -> str:
        return self.options.objective

    def outputs(self, target: str, quantiles: tuple[float, ...]) -> list[Output]:
        mean = Output("mean", {"objective": self.options.objective})
        return [
            mean,
            *(
                Output(f"quantile_{i}", {"objective": "quantile", "alpha": q})
                for i, q in enumerate(quantiles)
            ),
        ]

    def _params(self, seed: int) -> dict[str, Any]:
        return self.options.model_dump(exclude=_NOT_BOOSTED) | {
            "seed": seed,
            "deterministic": True,
            # LightGBM would time both layouts and choose: not the same in every run
            "force_row_wise": True,
            "feature_pre_filter": False,
            "verbosity": -1,
            "num_threads": self.options.n_jobs or 0,
        }

    def rows(
        self,
        table: Tabular,
        windows: WindowSet,
        target: int,
        seed: int,
        reference: lightgbm.Dataset | None,
    ) -> lightgbm.Dataset:
        from framework_lightgbm.rows import dataset

        return dataset(table, windows, target, reference, self._params(seed), KEPT)

    def boost(
        self,
        params: dict[str, Any],
        rows: lightgbm.Dataset,
        rounds: int,
        validation: lightgbm.Dataset | None,
        seed: int,
    ) -> tuple[bytes, int]:
        import lightgbm

        params = self._params(seed) | params
        if validation is None:
            booster = lightgbm.train(params, rows, rounds, callbacks=[_tell])
            return booster.model_to_string().encode(), rounds
        stop = lightgbm.early_stopping(self.options.early_stopping_rounds, verbose=False)
        booster = lightgbm.train(
            params, rows, rounds, valid_sets=[validation], callbacks=[_tell, stop]
        )
        return booster.model_to_string(
            num_iteration=booster.best_iteration
        ).encode(), booster.best_iteration

    def read(self, raw: bytes) -> lightgbm.Booster:
        import lightgbm

        return lightgbm.Booster(model_str=raw.decode())

    def answer(self, booster: lightgbm.Booster, rows: Float32) -> Float64:
        threads = 1 if len(rows) <= MANY_ROWS else self.options.n_jobs or 0
        return np.asarray(booster.predict(rows, num_threads=threads))


def _tell(environment: lightgbm.callback.CallbackEnv) -> None:
    """Say after each round how far training is."""
    tell(environment.iteration + 1, environment.end_iteration, "round")
