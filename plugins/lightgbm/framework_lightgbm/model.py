"""Direct multi-step forecasts: one booster per target (and one per target and quantile) learns all steps, the step being a feature.

Saved as LightGBM's text: ``mean_{t}.txt`` and ``quantile_{t}_{q}.txt`` by the places of target and quantile, and ``model.json``.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np

from framework.errors import DataError
from framework.interfaces.model import Model
from framework.interfaces.values import Float64, Schema, Windows
from framework.interfaces.windows import WindowSet
from framework.tabular import Tabular, has_label, lowest_label, strided
from framework_lightgbm import LightGBMOptions

log = logging.getLogger(__name__)

#: Above so many rows a prediction is shared among threads; below, starting them costs more than it saves.
_MANY_ROWS = 4096
_NOT_BOOSTED = {"n_estimators", "early_stopping_rounds", "refit", "origin_stride", "seasonal_lags", "difference", "n_jobs", "objective"}
#: Objectives with labels from 0 on; the bool says whether 0 itself is allowed.
_LOWEST = {"poisson": True, "tweedie": True, "gamma": False}


class LightGBM(Model):
    """The mean by ``objective``, each quantile by a booster of its own with the pinball loss.

    Quantiles are sorted, so they never cross. One process with one number of threads gives the same boosters for the same seed.
    """

    requirements = ("lightgbm",)
    options: LightGBMOptions

    @property
    def supports_quantiles(self) -> bool:
        return True

    def fit(self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int) -> None:
        self._horizon, self._quantiles = schema.horizon, schema.quantiles
        self._table = Tabular.plan(train.arrays, schema, self.options.seasonal_lags, self.options.difference)
        texts: list[list[str]] = []
        for t, name in enumerate(schema.targets):
            self._check_labels(lowest_label(train, t, "lightgbm", name), name)
            texts.append(_Fit(self.options, self._table, train, validation, t, seed).boosters(schema.quantiles))
        self._open(texts)

    def _check_labels(self, lowest: float, name: str) -> None:
        objective = self.options.objective
        if objective in _LOWEST and (lowest < 0 or (lowest == 0 and not _LOWEST[objective])):
            needed = "0 or more" if _LOWEST[objective] else "more than 0"
            raise DataError(
                f"lightgbm: objective {objective} needs labels of {needed}, "
                f"target '{name}' goes down to {lowest:g}; choose another objective."
            )

    def _open(self, texts: list[list[str]]) -> None:
        """Boosters from the text that is saved, so that saving changes no forecast."""
        self._texts = texts
        self._boosters = [[lightgbm.Booster(model_str=text) for text in row] for row in texts]

    def predict(self, windows: Windows) -> Float64:
        rows = self._table.features(windows)
        threads = 1 if len(rows) <= _MANY_ROWS else self.options.n_jobs or 0
        out = np.empty((len(rows), len(self._boosters), 1 + len(self._quantiles)))
        for t, row in enumerate(self._boosters):
            for q, booster in enumerate(row):
                out[:, t, q] = booster.predict(rows, num_threads=threads)
            anchor = self._table.anchor(windows, t)
            if anchor is not None:
                out[:, t] += anchor[:, None]
        out[:, :, 1:].sort(axis=-1)
        return out.reshape(len(windows), self._horizon, len(self._boosters), 1 + len(self._quantiles))

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json"),
            "horizon": self._horizon,
            "quantiles": self._quantiles,
            "targets": len(self._texts),
            "table": self._table.to_json(),
        }
        (directory / "model.json").write_text(json.dumps(body, indent=1))
        for t, row in enumerate(self._texts):
            for q, text in enumerate(row):
                (directory / _file(t, q)).write_text(text)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        made = cls(LightGBMOptions.model_validate(body["options"]))
        made._horizon, made._quantiles = body["horizon"], tuple(body["quantiles"])
        made._table = Tabular.from_json(body["table"])
        count = 1 + len(made._quantiles)
        made._open([[(directory / _file(t, q)).read_text() for q in range(count)] for t in range(body["targets"])])
        return made


def _file(target: int, output: int) -> str:
    return f"mean_{target}.txt" if output == 0 else f"quantile_{target}_{output - 1}.txt"


class _Fit:
    """Boosters of one target; the binned tables are made once and shared by the mean and the quantiles."""

    def __init__(
        self, options: LightGBMOptions, table: Tabular, train: WindowSet, validation: WindowSet | None, target: int, seed: int
    ) -> None:
        self._options, self._table, self._target = options, table, target
        own = {k: v for k, v in options.model_dump().items() if k not in _NOT_BOOSTED}
        self._params: dict[str, Any] = own | {
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,  # LightGBM would time both layouts and choose: not the same in every run
            "feature_pre_filter": False,
            "verbosity": -1,
            "num_threads": options.n_jobs or 0,
        }
        self._train = self._dataset(strided(train, options.origin_stride))
        stops = options.early_stopping_rounds is not None and validation is not None and has_label(validation, target)
        self._validation = self._dataset(validation, self._train) if stops and validation is not None else None
        self._all: lightgbm.Dataset | None = None
        if stops and options.refit and validation is not None:
            self._all = self._dataset(strided(train.joined(validation), options.origin_stride))

    def _dataset(self, windows: WindowSet, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        rows, labels = self._table.table(windows, self._target)
        return lightgbm.Dataset(rows, labels, reference=reference, params=self._params).construct()

    def boosters(self, quantiles: tuple[float, ...]) -> list[str]:
        """The mean's text, then the quantiles'."""
        return [self._boost({"objective": self._options.objective})] + [
            self._boost({"objective": "quantile", "alpha": q}) for q in quantiles
        ]

    def _boost(self, objective: dict[str, Any]) -> str:
        options, params = self._options, self._params | objective
        if self._validation is None or options.early_stopping_rounds is None:
            return lightgbm.train(params, self._train, options.n_estimators).model_to_string()
        stop = lightgbm.early_stopping(options.early_stopping_rounds, verbose=False)
        booster = lightgbm.train(params, self._train, options.n_estimators, valid_sets=[self._validation], callbacks=[stop])
        rounds = booster.best_iteration
        log.info("target %d, %s: %d of %d rounds", self._target, objective, rounds, options.n_estimators)
        if self._all is None:
            return booster.model_to_string(num_iteration=rounds)
        return lightgbm.train(params, self._all, rounds).model_to_string()
