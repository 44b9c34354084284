"""``model=lightgbm``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options

Share = Annotated[float, Field(gt=0, le=1)]


class LightGBMOptions(Options):
    """Names and meanings are those of ``lightgbm.LGBMRegressor``; beside them:

    ``early_stopping_rounds`` watches the validation windows, when there are any (``validation.steps``). ``refit`` then trains
    again on training and validation windows with the number of rounds that was best. ``origin_stride`` trains on every n-th
    origin; choose one that shares no factor with the season. ``n_jobs`` is for training and large predictions (null: all cores).

    ``seasonal_lags`` adds to the row of each step the targets' values so many steps before it, taken from the lag features;
    ``difference`` names targets to be learned and forecast as the difference from their value one first seasonal lag before the
    step (:class:`framework.tabular.Tabular`).
    """

    n_estimators: PositiveInt = 200
    learning_rate: PositiveFloat = 0.08
    num_leaves: int = Field(default=31, ge=2)
    max_depth: int = -1
    min_child_samples: PositiveInt = 20
    min_child_weight: NonNegativeFloat = 1e-3
    min_split_gain: NonNegativeFloat = 0.0
    subsample: Share = 1.0
    subsample_freq: int = Field(default=1, ge=0)
    colsample_bytree: Share = 1.0
    reg_alpha: NonNegativeFloat = 0.0
    reg_lambda: NonNegativeFloat = 0.0
    max_bin: int = Field(default=255, ge=2)
    device_type: Literal["cpu", "gpu", "cuda"] = "cpu"
    objective: Literal["regression", "regression_l1", "huber", "poisson", "gamma", "tweedie"] = "regression"
    early_stopping_rounds: PositiveInt | None = 20
    refit: bool = True
    origin_stride: PositiveInt = 1
    seasonal_lags: tuple[PositiveInt, ...] = ()
    difference: tuple[str, ...] = ()
    n_jobs: PositiveInt | None = None


@hookimpl
def components() -> list[Component]:
    return [Component("model", "lightgbm", "framework_lightgbm.model:LightGBM", LightGBMOptions, "direct multi-step gradient boosting")]
