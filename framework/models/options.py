"""The options that every boosted model has, whatever its library."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from framework.options import Options, step_numbers


class TargetOptions(Options):
    """The form in which a target is learned, and its own values in each step's row; forecasts are
    in natural units all the same.

    ``seasonal_lags`` adds to the row of each step the targets' values so many steps before it; the
    lag features that this needs are added to the primary view. A range is written ``1..14``.
    ``difference`` names targets to be learned as the difference from their value one first seasonal
    lag before the step. ``log`` names targets to be learned as log(1 + y). ``scale`` names for a
    target a feature in its unit, such as its rolling mean, that it is divided by, and with it what
    the view makes of the target in its unit; a row without a scale is not learned from. With
    several of them the target is divided first and differenced last.
    """

    seasonal_lags: Annotated[tuple[PositiveInt, ...], BeforeValidator(step_numbers)] = ()
    difference: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    scale: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _difference_from_a_lag(self) -> TargetOptions:
        if self.difference and not self.seasonal_lags:
            raise ValueError(
                f"difference: '{self.difference[0]}' needs seasonal_lags, such as seasonal_lags: "
                "[7]: the difference is taken from the first of them"
            )
        return self


class BoostingOptions(TargetOptions):
    """``n_estimators``: trees, at most. ``early_stopping_rounds`` watches the validation windows,
    when there are any (``validation.steps``). ``refit`` then trains again on training and
    validation windows with the number of rounds that was best; without early stopping it trains on
    both at once. ``origin_stride`` trains on every n-th origin; choose one that shares no factor
    with the season, or some hours of the day are never learned. ``most_windows``: of what that
    leaves, each fit learns from at most so many windows, drawn at random by the run's seed, and a
    warning says so; null for all. ``n_jobs`` is for training and large predictions (null: all
    cores, in a container those of its quota); where tables are small, XGBoost trains targets
    beside each other, each by one thread.
    """

    n_estimators: PositiveInt = 200
    early_stopping_rounds: PositiveInt | None = 20
    refit: bool = True
    origin_stride: PositiveInt = 1
    most_windows: PositiveInt | None = None
    n_jobs: PositiveInt | None = None
