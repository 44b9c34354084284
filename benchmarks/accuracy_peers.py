"""The peers of ``model=auto`` in ``benchmarks/accuracy.py``: the forecasts of other libraries, as
each one's guide shows them, and the naive ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from accuracy_sets import Set

#: Trials of AutoMLForecast.
_TRIALS = 2
#: Seasons that the local models are fitted to.
_SEASONS = 20


def _booster(data: Set) -> tuple[dict[str, object], dict[str, object]]:
    """The arguments of ``MLForecast`` and of its ``fit``."""
    from mlforecast.lag_transforms import ExpandingMean, RollingMean
    from mlforecast.target_transforms import Differences

    season = data.seasons[0]
    transforms = {1: [ExpandingMean()], season: [RollingMean(season)]}
    features = {"lags": [1, season], "lag_transforms": transforms}
    return {**features, "target_transforms": [Differences([season])]}, {"static_features": []}


def _mlforecast(data: Set, train: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    import lightgbm
    from mlforecast import MLForecast

    arguments, fit = _booster(data)
    models = [lightgbm.LGBMRegressor(verbosity=-1)]
    model = MLForecast(models=models, freq=data.frequency, **arguments)
    model.fit(train, **fit)
    plan = future if data.known else None
    return model.predict(data.horizon, X_df=plan).rename(columns={"LGBMRegressor": "value"})


def _auto_mlforecast(data: Set, train: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    import optuna
    from mlforecast.auto import AutoLightGBM, AutoMLForecast

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model = AutoMLForecast(
        models={"value": AutoLightGBM()},
        freq=data.frequency,
        season_length=data.seasons[0],
        fit_config=lambda trial: {"static_features": []},
    )
    sampler = optuna.samplers.TPESampler(seed=7)
    model.fit(
        train,
        n_windows=2,
        h=data.horizon,
        num_samples=_TRIALS,
        study_kwargs={"sampler": sampler},
    )
    return model.predict(data.horizon, X_df=future if data.known else None)


def _local(name: str) -> Callable[[Set, pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """A model of statsforecast on the last seasons."""

    def forecast(data: Set, train: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
        from statsforecast import StatsForecast, models

        recent = train.groupby("unique_id").tail(_SEASONS * data.seasons[0])
        model = getattr(models, name)(season_length=data.seasons[0])
        engine = StatsForecast([model], freq=data.frequency, n_jobs=1)
        result = engine.forecast(df=recent[["unique_id", "ds", "y"]], h=data.horizon)
        return result.rename(columns={name: "value"})

    return forecast


PEERS = {
    "mlforecast": _mlforecast,
    "AutoMLForecast": _auto_mlforecast,
    "AutoETS": _local("AutoETS"),
    "AutoTheta": _local("AutoTheta"),
}


def naive(data: Set, train: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By name the naive forecasts of one origin."""
    forecasts: dict[str, list[pd.DataFrame]] = {}
    steps = np.arange(1, data.horizon + 1)
    for name, rows in train.groupby("unique_id"):
        y = rows["y"].to_numpy()
        slope = (y[-1] - y[0]) / max(len(y) - 1, 1)
        values = {
            "last value": np.full(data.horizon, y[-1]),
            "drift": y[-1] + slope * steps,
            "mean": np.full(data.horizon, y.mean()),
            **{
                f"season {n}": y[-n:][(steps - 1) % n]
                for n in data.seasons
                if n <= train.groupby("unique_id").size().min()
            },
        }
        ds = pd.date_range(rows["ds"].max(), periods=data.horizon + 1, freq=data.frequency)[1:]
        for kind, value in values.items():
            part = pd.DataFrame({"unique_id": name, "ds": ds, "value": value})
            forecasts.setdefault(kind, []).append(part)
    return {kind: pd.concat(parts) for kind, parts in forecasts.items()}
