"""Guesses a model, and the features that it learns from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.projects.columns import Columns

#: Horizons that a history must have beside its longest lag: two folds, the validation, the fit.
_HORIZONS = 5
#: Options of boosted models that are worth a search, under the names of their libraries.
_SEARCHED: dict[str, dict[str, list[Any]]] = {
    "learning_rate": {"loguniform": [0.02, 0.3]},
    "max_depth": {"int": [3, 9]},
    "num_leaves": {"logint": [7, 127]},
    "n_estimators": {"logint": [50, 500]},
    "colsample_bytree": {"uniform": [0.5, 1.0]},
}
#: Steps that the first fold must leave to learn from.
_ROWS_TO_LEARN = 2


def guess_model(columns: Columns, rows: pd.DataFrame, model: str, naive: str) -> None:
    """Guess the model and the folds by the length of the history, and the use of short series.

    Args:
        columns: What is known so far.
        rows: As the source reads them, with ``event_timestamp``.
        model: The one for long histories.
        naive: The one for short histories.

    Raises:
        DataError: No series is long enough for a backtest.
    """
    lags, horizon = _lags(columns), columns.value("horizon")
    least_steps = max(lags) + _HORIZONS * horizon
    keys = columns.value("entity")
    actual = rows.dropna(subset=list(columns.value("targets")), how="all")
    counts = actual.groupby(keys, observed=True)[TIME].count() if keys else pd.Series([len(actual)])
    length = int(counts.median())
    _guess_folds(columns, int(counts.max()))
    if "model" not in columns.decided:
        long = length >= least_steps
        columns.guess(
            "model",
            model if long else naive,
            f"a series has {length} steps, of which a model with lags needs {least_steps}",
        )
    if "short" not in columns.decided:
        context = max(lags) + 1 if columns.value("model") != naive else 1
        least = max(context, columns.value("season_length")) + 2 * horizon
        short = int((counts < least).sum())
        columns.guess(
            "short",
            "keep" if short else "refuse",
            f"{short} of {len(counts)} series are shorter than {least} steps"
            + ("; they are forecast as soon as they have a context" if short else ""),
        )


def _guess_folds(columns: Columns, longest: int) -> None:
    horizon = columns.value("horizon")
    least = horizon + _ROWS_TO_LEARN
    if longest < least:
        raise DataError(
            f"init.horizon: the longest series has {longest} steps, and a backtest of {horizon} "
            f"steps ahead needs {least}; give a longer history"
            + (", or a shorter horizon." if horizon > 1 else ".")
        )
    if "folds" in columns.decided:
        return
    folds = 2 if longest >= 2 * horizon + _ROWS_TO_LEARN else 1
    why = f"{folds} of {horizon} steps fit into the {longest} steps of the longest series"
    columns.guess("folds", folds, why)


def _lags(columns: Columns) -> list[int]:
    season, horizon = columns.value("season_length"), columns.value("horizon")
    seasonal = (season - step for step in range(1, horizon + 1))
    return sorted({1, 2, 3, *(lag for lag in seasonal if lag > 0)})


def learning_sections(columns: Columns, known: Collection[str]) -> dict[str, Any]:
    """Write the sections of a model that learns, of the change since a season before where it can.

    Args:
        columns: What is known of the table.
        known: The options that the model has.

    Returns:
        The sections.
    """
    season, horizon, zone = (columns.value(n) for n in ("season_length", "horizon", "time_zone"))
    fields = _calendar_fields(columns)
    calendar = {"step": "calendar", "fields": fields} | ({"time_zone": zone} if zone else {})
    sections: dict[str, Any] = {
        "preprocessor": {"future": [calendar] if fields else []},
        "validation": {"steps": horizon},
        "quantiles": [0.1, 0.9],
    }
    if season >= max(2, horizon) and {"seasonal_lags", "difference"} <= {*known}:
        targets = list(columns.value("targets"))
        sections["model"] = {"seasonal_lags": [season], "difference": targets}
    return sections


def search_space(columns: Columns, known: Collection[str]) -> dict[str, Any]:
    """Write what ``run=tune`` searches: the options of a boosted model, or the season of a naive
    one.

    Args:
        columns: What is known of the table.
        known: The options that the model has.

    Returns:
        The section ``space``; empty where the model has none of these options.
    """
    space = {f"model.{name}": node for name, node in _SEARCHED.items() if name in known}
    season = columns.value("season_length")
    if not space and season > 1 and "season_length" in known:
        space = {"model.season_length": {"choice": [season, 1]}}
    return {"space": space} if space else {}


def past_features(columns: Columns) -> list[dict[str, Any]]:
    """Write the operations that give lags and means of the targets."""
    targets, season = list(columns.value("targets")), columns.value("season_length")
    windows = [season, 4 * season] if season < 100 else [24, season]
    operations: list[dict[str, Any]] = [
        {"op": "lag", "columns": targets, "steps": _lags(columns)},
    ]
    if season > 1:
        operations.append(
            {"op": "rolling", "columns": targets, "windows": windows, "statistics": ["mean"]}
        )
    return operations


def _calendar_fields(columns: Columns) -> list[str]:
    """List the fields of the calendar that differ between steps of the frequency."""
    frequency = Frequency.parse(columns.value("frequency"))
    if frequency.months:
        return ["month"] if frequency.months < 12 else []
    if frequency.several_days:
        return ["month", "week_of_year"]
    return ["day_of_week", "month"] if frequency.whole_days else ["hour", "day_of_week", "month"]
