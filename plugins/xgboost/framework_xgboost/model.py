"""XGBoost's boosters. ``mean_{t}.ubj`` and ``quantiles_{t}.ubj``, the latter with one tree per
quantile and round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import xgboost

from framework.data.arrays import Float32, Float64
from framework.data.schema import Schema
from framework.data.windows import WindowSet
from framework.errors import ConfigError
from framework.models.boosting import MANY_ROWS, BoostedModel, Output
from framework.models.gpus import visible_gpus
from framework.models.progress import tell
from framework.models.window_table import Tabular
from framework_xgboost import XGBoostOptions
from framework_xgboost.matrix import KEPT, plain_matrix, train_matrix

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
#: For few rows (one thread) and for many.
Boosters = tuple[xgboost.Booster, xgboost.Booster]


class XGBoost(BoostedModel[xgboost.DMatrix, Boosters]):
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
        the targets.
        """
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
        return 2 * KEPT, 0.5, 2.0 if self.options.max_bin <= 256 else 4.0

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
        options = self.options
        if options.tree_method == "hist":
            return train_matrix(table, windows, target, options.max_bin, reference, options.n_jobs)
        return plain_matrix(table, windows, target, options.n_jobs)

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
        if options.n_jobs is not None:
            params["nthread"] = options.n_jobs
        callbacks = [_Rounds(rounds)]
        if validation is None:
            return _bytes(xgboost.train(params, rows, rounds, callbacks=callbacks)), rounds
        booster = xgboost.train(
            params,
            rows,
            rounds,
            evals=[(validation, "validation")],
            early_stopping_rounds=options.early_stopping_rounds,
            verbose_eval=False,
            callbacks=callbacks,
        )
        best = booster.best_iteration + 1
        return _bytes(booster[:best]), best

    def read(self, raw: bytes) -> Boosters:
        return _booster(raw, 1), _booster(raw, self.options.n_jobs)

    def gpus(self) -> int | None:
        return len(visible_gpus()) if xgboost.build_info()["USE_CUDA"] else None

    def move(self, device: str) -> None:
        self._on_gpu = True
        for boosters in self._boosters:
            for _, many in boosters:
                many.set_param({"device": device})

    def answer(self, booster: Boosters, rows: Float32) -> Float64:
        few, many = booster
        if self._on_gpu:  # in place, XGBoost would fall back to a slower way, with a warning
            return many.predict(xgboost.DMatrix(rows), validate_features=False)
        return (many if len(rows) > MANY_ROWS else few).inplace_predict(rows)


class _Rounds(xgboost.callback.TrainingCallback):
    """Says after each round how far training is."""

    def __init__(self, count: int) -> None:
        self._count = count

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        tell(epoch + 1, self._count, "round")
        return False


def _bytes(booster: xgboost.Booster) -> bytes:
    return bytes(booster.save_raw(raw_format="ubj"))


def _booster(raw: bytes, nthread: int | None) -> xgboost.Booster:
    booster = xgboost.Booster(model_file=bytearray(raw))
    booster.set_param({"nthread": nthread or 0, "device": "cpu"})
    return booster
