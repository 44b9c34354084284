"""``model=lightgbm``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.models.options import BoostingOptions

Share = Annotated[float, Field(gt=0, le=1)]


class LightGBMOptions(BoostingOptions):
    """Names and meanings are those of ``lightgbm.LGBMRegressor``, beside those of
    :class:`BoostingOptions`.
    """

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
    objective: Literal["regression", "regression_l1", "huber", "poisson", "gamma", "tweedie"] = (
        "regression"
    )


_LOSSES = (("absolute", "regression_l1"), ("squared", "regression"), ("tweedie", "tweedie"))
_CAUTIOUS = (("num_leaves", 7), ("min_child_samples", 500))


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "lightgbm",
            "framework_lightgbm.model:LightGBM",
            LightGBMOptions,
            "direct multi-step gradient boosting",
            automatic=Automatic("boosted", 4e-9, _LOSSES, _CAUTIOUS),
            imports=("lightgbm",),
        )
    ]
