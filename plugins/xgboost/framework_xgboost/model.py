"""XGBoost's boosters. ``mean_{t}.ubj`` and ``quantiles_{t}.ubj``, the latter with one tree per
quantile and round. The library is imported by what fits or asks a booster, so that a wrong option
is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.schema import Schema
from framework.data.vocabulary import CPU
from framework.data.windows import WindowSet
from framework.errors import ConfigError
from framework.models.boosting import MANY_ROWS, BoostedModel, Output
from framework.models.gpus import check_visible, visible_gpus
from framework.models.window_table import Tabular
from framework_xgboost import XGBoostOptions

if TYPE_CHECKING:
    import xgboost

    from framework_xgboost.boosters import Answering

_BOOSTED = (
    "learning_rate",
    "max_depth",
    "min_child_weight",
    "subsample",
    "colsample_bytree",
    "reg_alpha",
    "reg_lambda",
    "tree_method",
    "device",
)
#: Bytes of rows that are kept while a matrix is made of them; what is above them is made anew for
#: each of XGBoost's passes.
KEPT = 32 * 2**20
#: Bytes of the pages of a matrix in files that are in memory at the same time.
PAGES = 256 * 2**20


class XGBoost(BoostedModel["xgboost.DMatrix", "Answering"]):
    """The mean by ``objective``, quantiles by ``reg:quantileerror``."""

    requirements = ("xgboost",)
    options_type = XGBoostOptions
    suffix = "ubj"
    bounded: ClassVar[Mapping[str, bool]] = {
        "count:poisson": True,
        "reg:tweedie": True,
        "reg:gamma": False,
    }
    options: XGBoostOptions
    _on_gpu = False

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        """Raise :class:`ConfigError` also for quantiles and objectives that do not go together with
        the targets, and for a GPU that is not there: XGBoost would train on the CPU instead.
        """
        check_visible(self.options.device, "model.device", "cpu")
        if schema.quantiles and self.options.tree_method == "exact":
            raise ConfigError(
                "model.tree_method: exact cannot train quantiles; use hist or approx, or "
                "quantiles: []."
            )
        unknown = sorted(set(self.options.objectives) - set(schema.targets))
        if unknown:
            raise ConfigError(
                f"model.objectives: {unknown} are no targets; the targets are "
                f"{list(schema.targets)}."
            )
        super().check(schema, past_names)

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self.check(schema, train.arrays.past_names)
        super().fit(train, validation, schema, seed)

    @property
    def table_bytes(self) -> tuple[int, float, float]:
        """Bins by row and by column, in pieces; or all rows as floats, with their places."""
        if self.options.tree_method != "hist":
            return 0, 8.0, 8.0
        if self.options.external_memory:
            return PAGES, 0.0, 0.0
        return 2 * KEPT, 0.5, 2.0 if self.options.max_bin <= 256 else 4.0

    @property
    def file_bytes(self) -> tuple[float, float]:
        """Bins by row and by column, of rows with gaps: those without take less."""
        if not self.options.external_memory:
            return 0.0, 0.0
        return 5.2 if self.options.max_bin <= 256 else 6.2, 8.0

    @property
    def trains_in_threads(self) -> bool:
        return self.options.device == CPU

    def objective(self, target: str) -> str:
        return self.options.objectives.get(target, self.options.objective)

    def outputs(self, target: str, quantiles: tuple[float, ...]) -> list[Output]:
        mean = Output("mean", {"objective": self.objective(target)})
        if not quantiles:
            return [mean]
        return [
            mean,
            Output(
                "quantiles", {"objective": "reg:quantileerror", "quantile_alpha": list(quantiles)}
            ),
        ]

    def rows(
        self,
        table: Tabular,
        windows: WindowSet,
        target: int,
        seed: int,
        reference: xgboost.DMatrix | None,
    ) -> xgboost.DMatrix:
        from framework_xgboost.matrix import external_matrix, plain_matrix, train_matrix

        options, threads = self.options, self.training_threads
        if options.external_memory:
            return external_matrix(table, windows, target, options.max_bin, reference, threads)
        if options.tree_method != "hist":
            return plain_matrix(table, windows, target, threads)
        return train_matrix(table, windows, target, options.max_bin, reference, threads, KEPT)

    def boost(
        self,
        params: dict[str, Any],
        rows: xgboost.DMatrix,
        rounds: int,
        validation: xgboost.DMatrix | None,
        seed: int,
    ) -> tuple[bytes, int]:
        options = self.options
        params = (
            {name: getattr(options, name) for name in _BOOSTED}
            | params
            | {"seed": seed, "verbosity": 0}
        )
        if options.tree_method != "exact":
            params["max_bin"] = options.max_bin
        if self.training_threads is not None:
            params["nthread"] = self.training_threads
        from framework_xgboost import boosters

        stopping = options.early_stopping_rounds
        return boosters.trained(params, rows, rounds, validation, stopping)

    def read(self, raw: bytes) -> Answering:
        from framework_xgboost import boosters

        return boosters.Answering(raw, self.options.n_jobs)

    def gpus(self) -> int | None:
        import xgboost

        return len(visible_gpus()) if xgboost.build_info()["USE_CUDA"] else None

    def move(self, device: str) -> None:
        self._on_gpu = True
        for boosters in self._boosters:
            for booster in boosters:
                booster.many.set_param({"device": device})

    def answer(self, booster: Answering, rows: Float32) -> Float64:
        return self.answers([booster], rows)[0]

    def answers(self, boosters: Sequence[Answering], rows: Float32) -> list[Float64]:
        """Ask several boosters about the same rows. Few rows become one matrix for all of them,
        which takes less time than each booster's own look at them. Many rows, and infinities, which
        no matrix holds, are read in place.
        """
        import xgboost

        if self._on_gpu:  # in place, XGBoost would fall back to a slower way, with a warning
            matrix = xgboost.DMatrix(rows)
            return [one.many.predict(matrix, validate_features=False) for one in boosters]
        if len(rows) <= MANY_ROWS and not np.isinf(rows).any():
            matrix = xgboost.DMatrix(rows, nthread=1)
            return [one.few.predict(matrix, validate_features=False) for one in boosters]
        return [
            (one.many if len(rows) > MANY_ROWS else one.few).inplace_predict(
                rows, validate_features=False
            )
            for one in boosters
        ]
