"""The options that every boosted model has, whatever its library."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from framework.options import Options


class TargetOptions(Options):
    """What a target is learned as and which of its own values each step's row holds; forecasts are
    in natural units all the same.

    ``seasonal_lags`` adds to the row of each step the targets' values so many steps before it,
    taken from the lag features. ``difference`` names targets to be learned as the difference from
    their value one first seasonal lag before the step. ``log`` names targets to be learned as log(1
    + y). ``scale`` names for a target a feature in its unit, such as its rolling mean, that it is
    divided by. With several of them the target is divided first and differenced last.
    """

    seasonal_lags: tuple[PositiveInt, ...] = ()
    difference: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    scale: dict[str, str] = Field(default_factory=dict)


class BoostingOptions(TargetOptions):
    """``early_stopping_rounds`` watches the validation windows, when there are any
    (``validation.steps``). ``refit`` then trains again on training and validation windows with the
    number of rounds that was best; without early stopping it trains on both at once.
    ``origin_stride`` trains on every n-th origin; choose one that shares no factor with the season,
    or some hours of the day are never learned. ``n_jobs`` is for training and large predictions
    (null: all cores, in a container those of its quota).
    """

    n_estimators: PositiveInt = 200
    early_stopping_rounds: PositiveInt | None = 20
    refit: bool = True
    origin_stride: PositiveInt = 1
    n_jobs: PositiveInt | None = None
