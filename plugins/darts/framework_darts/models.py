"""The library's models by their components' classes."""

from __future__ import annotations

import framework_darts as options
from framework_darts.adapter import DartsModel


class NLinear(DartsModel):
    library = "darts.models.forecasting.nlinear:NLinearModel"
    options_type = options.NLinearOptions


class DLinear(DartsModel):
    library = "darts.models.forecasting.dlinear:DLinearModel"
    options_type = options.DLinearOptions


class TFT(DartsModel):
    library = "darts.models.forecasting.tft_model:TFTModel"
    options_type = options.TFTOptions


class NBEATS(DartsModel):
    takes = frozenset({"past"})
    library = "darts.models.forecasting.nbeats:NBEATSModel"
    options_type = options.NBEATSOptions


class NHiTS(DartsModel):
    takes = frozenset({"past"})
    library = "darts.models.forecasting.nhits:NHiTSModel"
    options_type = options.NHiTSOptions


class TiDE(DartsModel):
    library = "darts.models.forecasting.tide_model:TiDEModel"
    options_type = options.TiDEOptions


class TSMixer(DartsModel):
    library = "darts.models.forecasting.tsmixer_model:TSMixerModel"
    options_type = options.TSMixerOptions
