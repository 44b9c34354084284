"""``model=xgboost``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options

Objective = Literal[
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
]
Share = Annotated[float, Field(gt=0, le=1)]


class XGBoostOptions(Options):
    """Names and meanings are those of ``xgboost.XGBRegressor``; beside them:

    ``early_stopping_rounds`` watches the validation windows, when there are any (``validation.steps``). ``refit`` then trains
    again on training and validation windows with the number of rounds that was best. ``origin_stride`` trains on every n-th
    origin; choose one that shares no factor with the season, or some hours of the day are never learned. ``n_jobs``
    is for training and large predictions (null: all cores).

    ``seasonal_lags`` adds to the row of each step the targets' values so many steps before it, taken from the lag features;
    ``difference`` names targets to be learned and forecast as the difference from their value one first seasonal lag before the
    step (:class:`framework.tabular.Tabular`). ``objectives`` gives single targets an objective of their own.
    """

    n_estimators: PositiveInt = 200
    learning_rate: PositiveFloat = 0.08
    max_depth: int = Field(default=6, ge=0)
    min_child_weight: NonNegativeFloat = 1.0
    subsample: Share = 1.0
    colsample_bytree: Share = 1.0
    reg_alpha: NonNegativeFloat = 0.0
    reg_lambda: NonNegativeFloat = 1.0
    max_bin: int = Field(default=256, ge=2)
    tree_method: Literal["hist", "approx", "exact"] = "hist"
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    objective: Objective = "reg:squarederror"
    objectives: dict[str, Objective] = Field(default_factory=dict)
    early_stopping_rounds: PositiveInt | None = 20
    refit: bool = True
    origin_stride: PositiveInt = 1
    seasonal_lags: tuple[PositiveInt, ...] = ()
    difference: tuple[str, ...] = ()
    n_jobs: PositiveInt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> XGBoostOptions:
        if self.tree_method == "exact" and self.device != "cpu":
            raise ValueError(f"tree_method exact runs on the cpu only, device is {self.device}")
        if self.tree_method == "exact" and "reg:absoluteerror" in {self.objective, *self.objectives.values()}:
            raise ValueError("tree_method exact cannot train reg:absoluteerror; use hist or approx")
        return self


@hookimpl
def components() -> list[Component]:
    return [Component("model", "xgboost", "framework_xgboost.model:XGBoost", XGBoostOptions, "direct multi-step gradient boosting")]
