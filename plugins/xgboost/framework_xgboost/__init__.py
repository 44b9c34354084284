"""``model=xgboost``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.models.options import BoostingOptions

Objective = Literal[
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
]
Share = Annotated[float, Field(gt=0, le=1)]


class XGBoostOptions(BoostingOptions):
    """Names and meanings are those of ``xgboost.XGBRegressor``, beside those of
    :class:`BoostingOptions`. ``objectives`` gives single targets an objective of their own.
    ``external_memory`` keeps the bins of the rows that are learned from in files, and reads them
    again in each round: for more rows than memory.
    """

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
    external_memory: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> XGBoostOptions:
        if self.external_memory and (self.tree_method != "hist" or self.device != "cpu"):
            raise ValueError(
                f"external_memory needs tree_method hist and device cpu, not {self.tree_method} "
                f"and {self.device}"
            )
        if self.tree_method == "exact" and self.device != "cpu":
            raise ValueError(f"tree_method exact runs on the cpu only, device is {self.device}")
        if self.tree_method == "exact" and "reg:absoluteerror" in {
            self.objective,
            *self.objectives.values(),
        }:
            raise ValueError("tree_method exact cannot train reg:absoluteerror; use hist or approx")
        return self


_LOSSES = (
    ("absolute", "reg:absoluteerror"),
    ("squared", "reg:squarederror"),
    ("tweedie", "reg:tweedie"),
)
_CAUTIOUS = (("max_depth", 3), ("min_child_weight", 500.0))


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "xgboost",
            "framework_xgboost.model:XGBoost",
            XGBoostOptions,
            "direct multi-step gradient boosting",
            automatic=Automatic("boosted", 6e-9, _LOSSES, _CAUTIOUS),
            imports=("framework_xgboost.boosters",),
        )
    ]
