"""Training and reading of XGBoost's boosters."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import xgboost

from framework.models.progress import tell


def trained(
    params: dict[str, Any],
    rows: xgboost.DMatrix,
    rounds: int,
    validation: xgboost.DMatrix | None,
    early_stopping_rounds: int | None,
) -> tuple[bytes, int]:
    """Train a booster.

    Returns:
        Its bytes, and its rounds; with ``validation`` those of the best round.
    """
    callbacks = [_Rounds(rounds)]
    if validation is None:
        return _bytes(xgboost.train(params, rows, rounds, callbacks=callbacks)), rounds
    booster = xgboost.train(
        params,
        rows,
        rounds,
        evals=[(validation, "validation")],
        early_stopping_rounds=early_stopping_rounds,
        verbose_eval=False,
        callbacks=callbacks,
    )
    best = booster.best_iteration + 1
    return _bytes(booster[:best]), best


class Answering:
    """A booster as it is asked: about few rows by one thread, about many by ``nthread``; None: by
    all. The one for many rows is read when it is first asked.
    """

    def __init__(self, raw: bytes, nthread: int | None) -> None:
        self._raw, self._nthread = raw, nthread
        self.few = _of_bytes(raw, 1)

    @cached_property
    def many(self) -> xgboost.Booster:
        return _of_bytes(self._raw, self._nthread)


def _of_bytes(raw: bytes, nthread: int | None) -> xgboost.Booster:
    booster = xgboost.Booster(model_file=bytearray(raw))
    booster.set_param({"nthread": nthread or 0, "device": "cpu"})
    return booster


class _Rounds(xgboost.callback.TrainingCallback):
    """Says after each round how far training is."""

    def __init__(self, count: int) -> None:
        self._count = count

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        tell(epoch + 1, self._count, "round")
        return False


def _bytes(booster: xgboost.Booster) -> bytes:
    return bytes(booster.save_raw(raw_format="ubj"))
