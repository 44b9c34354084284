"""Direct multi-step forecasts: one booster per target learns all steps, the step being a feature.

Saved as ``mean_{t}.ubj`` and ``quantiles_{t}.ubj`` for each target ``t``, and ``model.json``.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost

from framework.errors import ConfigError, DataError
from framework.interfaces.model import Model
from framework.interfaces.values import Float64, Schema, Windows
from framework.interfaces.windows import WindowSet
from framework.tabular import Tabular, has_label, lowest_label, strided
from framework_xgboost import XGBoostOptions
from framework_xgboost.matrix import plain_matrix, train_matrix

log = logging.getLogger(__name__)

#: Above so many rows a prediction is shared among threads; below, starting them costs more than it saves.
_MANY_ROWS = 4096
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
#: Objectives with labels from here on; the bool says whether the bound itself is allowed.
_LOWEST = {"count:poisson": True, "reg:tweedie": True, "reg:gamma": False}


class XGBoost(Model):
    """The mean by ``objective``, quantiles by ``reg:quantileerror`` with one tree per quantile and round.

    Quantiles are sorted, so they never cross. One process with one number of threads gives the same boosters for the same seed.
    """

    requirements = ("xgboost",)
    options: XGBoostOptions

    @property
    def supports_quantiles(self) -> bool:
        return True

    def fit(self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int) -> None:
        if schema.quantiles and self.options.tree_method == "exact":
            raise ConfigError("model.tree_method: exact cannot train quantiles; use hist or approx, or quantiles: [].")
        self._horizon, self._quantiles = schema.horizon, schema.quantiles
        unknown = sorted(set(self.options.objectives) - set(schema.targets))
        if unknown:
            raise ConfigError(f"model.objectives: {unknown} are no targets; the targets are {list(schema.targets)}.")
        self._table = Tabular.plan(train.arrays, schema, self.options.seasonal_lags, self.options.difference)
        self._raw: list[tuple[bytes, bytes | None]] = []
        for t, name in enumerate(schema.targets):
            self._check_labels(train, t, name)
            self._raw.append(
                _Fit(self.options, self._table, train, validation, t, seed).boosters(
                    self.options.objectives.get(name, self.options.objective), schema.quantiles
                )
            )
        self._open()

    def _check_labels(self, train: WindowSet, target: int, name: str) -> None:
        lowest = lowest_label(train, target, "xgboost", name)
        objective = self.options.objectives.get(name, self.options.objective)
        if objective in _LOWEST and (lowest < 0 or (lowest == 0 and not _LOWEST[objective])):
            needed = "0 or more" if _LOWEST[objective] else "more than 0"
            raise DataError(
                f"xgboost: objective {objective} needs labels of {needed}, "
                f"target '{name}' goes down to {lowest:g}; choose another objective."
            )

    def _open(self) -> None:
        """Boosters for few rows (one thread) and many. Both from the bytes that are saved, so saving changes no forecast."""
        self._few = [tuple(_booster(raw, 1) for raw in pair) for pair in self._raw]
        self._many = [tuple(_booster(raw, self.options.n_jobs) for raw in pair) for pair in self._raw]

    def predict(self, windows: Windows) -> Float64:
        rows = self._table.features(windows)
        out = np.empty((len(rows), len(self._raw), 1 + len(self._quantiles)))
        for t, (mean, quantiles) in enumerate(self._many if len(rows) > _MANY_ROWS else self._few):
            assert mean is not None  # every target has one
            out[:, t, 0] = mean.inplace_predict(rows)
            if quantiles is not None:
                found = quantiles.inplace_predict(rows).reshape(len(rows), -1)
                out[:, t, 1:] = np.sort(found, axis=1)
            anchor = self._table.anchor(windows, t)
            if anchor is not None:
                out[:, t] += anchor[:, None]
        return out.reshape(len(windows), self._horizon, len(self._raw), 1 + len(self._quantiles))

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json"),
            "horizon": self._horizon,
            "quantiles": self._quantiles,
            "targets": len(self._raw),
            "table": self._table.to_json(),
        }
        (directory / "model.json").write_text(json.dumps(body, indent=1))
        for t, pair in enumerate(self._raw):
            for kind, raw in zip(("mean", "quantiles"), pair, strict=True):
                if raw is not None:
                    (directory / f"{kind}_{t}.ubj").write_bytes(raw)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        made = cls(XGBoostOptions.model_validate(body["options"]))
        made._horizon, made._quantiles = body["horizon"], tuple(body["quantiles"])
        made._table = Tabular.from_json(body["table"])
        made._raw = [
            ((directory / f"mean_{t}.ubj").read_bytes(), (directory / f"quantiles_{t}.ubj").read_bytes() if made._quantiles else None)
            for t in range(body["targets"])
        ]
        made._open()
        return made


class _Fit:
    """Boosters of one target; the matrices are built once and shared by the mean and the quantiles."""

    def __init__(
        self, options: XGBoostOptions, table: Tabular, train: WindowSet, validation: WindowSet | None, target: int, seed: int
    ) -> None:
        self._options, self._table, self._target, self._seed = options, table, target, seed
        self._train = self._matrix(strided(train, options.origin_stride))
        stops = options.early_stopping_rounds is not None and validation is not None and has_label(validation, target)
        self._validation = self._matrix(validation, self._train) if stops and validation is not None else None
        self._all: xgboost.DMatrix | None = None
        if stops and options.refit and validation is not None:
            self._all = self._matrix(strided(train.joined(validation), options.origin_stride))

    def _matrix(self, windows: WindowSet, reference: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        options = self._options
        if options.tree_method == "hist":
            return train_matrix(self._table, windows, self._target, options.max_bin, reference, options.n_jobs)
        return plain_matrix(self._table, windows, self._target, options.n_jobs)

    def boosters(self, objective: str, quantiles: tuple[float, ...]) -> tuple[bytes, bytes | None]:
        mean = self._boost({"objective": objective})
        if not quantiles:
            return mean, None
        return mean, self._boost({"objective": "reg:quantileerror", "quantile_alpha": list(quantiles)})

    def _boost(self, objective: dict[str, Any]) -> bytes:
        options = self._options
        params: dict[str, Any] = {name: getattr(options, name) for name in _BOOSTED} | objective
        params |= {"seed": self._seed, "verbosity": 0}
        if options.tree_method != "exact":
            params["max_bin"] = options.max_bin
        if options.n_jobs is not None:
            params["nthread"] = options.n_jobs
        if self._validation is None:
            return _bytes(xgboost.train(params, self._train, options.n_estimators))
        booster = xgboost.train(
            params,
            self._train,
            options.n_estimators,
            evals=[(self._validation, "validation")],
            early_stopping_rounds=options.early_stopping_rounds,
            verbose_eval=False,
        )
        rounds = booster.best_iteration + 1
        log.info("target %d, %s: %d of %d rounds", self._target, objective["objective"], rounds, options.n_estimators)
        if self._all is None:
            return _bytes(booster[:rounds])
        return _bytes(xgboost.train(params, self._all, rounds))


def _bytes(booster: xgboost.Booster) -> bytes:
    return bytes(booster.save_raw(raw_format="ubj"))


def _booster(raw: bytes | None, nthread: int | None) -> xgboost.Booster | None:
    if raw is None:
        return None
    booster = xgboost.Booster(model_file=bytearray(raw))
    booster.set_param({"nthread": nthread or 0, "device": "cpu"})
    return booster
