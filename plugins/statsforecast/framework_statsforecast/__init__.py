"""``model=auto_arima``, ``auto_ets`` and ``auto_theta``: local models of the statsforecast library.

A local model knows one series and nothing else, so it is fitted when it is asked: to the history in
the window, target by target. What a run fits beforehand is only the level that a window without any
value gets. New series need no retraining; a request costs a fit. Covariates are not used.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.options import Options


class LocalOptions(Options):
    """``context_length``: steps that each fit sees, null for ten seasons and at least 30.
    ``season_length``: in steps.
    """

    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed
    context_length: PositiveInt | None = None


class AutoARIMAOptions(LocalOptions):
    """Names and meanings are those of ``statsforecast.models.AutoARIMA``."""

    d: int | None = Field(default=None, ge=0)
    D: int | None = Field(default=None, ge=0)
    max_p: int = Field(default=5, ge=0)
    max_q: int = Field(default=5, ge=0)
    max_P: int = Field(default=2, ge=0)  # noqa: N815  the library's name
    max_Q: int = Field(default=2, ge=0)  # noqa: N815
    max_order: PositiveInt = 5
    max_d: int = Field(default=2, ge=0)
    max_D: int = Field(default=1, ge=0)  # noqa: N815
    stationary: bool = False
    seasonal: bool = True
    ic: Literal["aicc", "aic", "bic"] = "aicc"
    stepwise: bool = True
    nmodels: int = Field(default=94, ge=8)
    approximation: bool = False
    allowdrift: bool = True
    allowmean: bool = True


class AutoETSOptions(LocalOptions):
    """Names and meanings are those of ``statsforecast.models.AutoETS``."""

    model: str = Field(default="ZZZ", pattern=r"^[AMZ][ANMZ][ANMZ]$")
    damped: bool | None = None


class AutoThetaOptions(LocalOptions):
    """Names and meanings are those of ``statsforecast.models.AutoTheta``."""

    decomposition_type: Literal["multiplicative", "additive"] = "multiplicative"
    model: Literal["STM", "OTM", "DSTM", "DOTM"] | None = None


@hookimpl
def components() -> list[Component]:
    place = "framework_statsforecast.model"
    return [
        Component(
            "model",
            "auto_arima",
            f"{place}:AutoARIMA",
            AutoARIMAOptions,
            "ARIMA with orders by information criterion, per window",
        ),
        Component(
            "model",
            "auto_ets",
            f"{place}:AutoETS",
            AutoETSOptions,
            "exponential smoothing chosen by information criterion, per window",
            automatic=Automatic("local", 1.5e-3),
        ),
        Component(
            "model",
            "auto_theta",
            f"{place}:AutoTheta",
            AutoThetaOptions,
            "the best of four Theta models, per window",
            automatic=Automatic("local", 1.0e-3),
        ),
    ]
