"""Local models of the statsforecast library.

``model=auto_arima``, ``auto_ets`` and ``auto_theta``; ``croston_sba``, ``tsb``, ``adida`` and
``imapa`` for demand that is mostly 0.

A local model knows one series and nothing else, so it is fitted when it is asked: to the history in
the window, target by target. What a run fits beforehand is only the level that a window without any
value gets. New series need no retraining; a request costs a fit. Covariates are not used.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.options import Options

_SBA = "Croston's method with the correction of Syntetos and Boylan"
_TSB = "the method of Teunter, Syntetos and Babai"
_ADIDA = "smoothing of sums over the usual gap"
_IMAPA = "the mean of smoothings of sums over several gaps"


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


class IntermittentOptions(Options):
    """``context_length``: steps that each fit sees."""

    context_length: PositiveInt = 100


class TSBOptions(IntermittentOptions):
    """Names and meanings are those of ``statsforecast.models.TSB``."""

    alpha_d: float = Field(default=0.2, ge=0, le=1)
    alpha_p: float = Field(default=0.2, ge=0, le=1)


_Family = Literal["intermittent", "lumpy"]
_INTERMITTENT: tuple[tuple[str, str, type[Options], str, _Family], ...] = (
    ("croston_sba", "CrostonSBA", IntermittentOptions, _SBA, "intermittent"),
    ("tsb", "TSB", TSBOptions, _TSB, "intermittent"),
    ("adida", "ADIDA", IntermittentOptions, _ADIDA, "lumpy"),
    ("imapa", "IMAPA", IntermittentOptions, _IMAPA, "lumpy"),
)


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
        *(
            Component(
                "model",
                name,
                f"{place}:{attribute}",
                options,
                f"{summary}, for demand that is mostly 0, per window",
                automatic=Automatic(family, 2e-5),
            )
            for name, attribute, options, summary, family in _INTERMITTENT
        ),
    ]
