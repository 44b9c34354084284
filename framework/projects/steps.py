"""Guesses the steps of a table: time zone, frequency, gaps, season, horizon."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from framework.data.arrays import Flags
from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.projects.clocks import clock_of
from framework.projects.columns import Columns

_DAY = pd.Timedelta(days=1)
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
#: Holidays that are tried for business days.
_CALENDARS = ("B", "B:XNYS", "B:US", "B:GB", "B:DE")
#: The most business days that may be holidays, as a share of all.
_CLOSED = 0.06
#: Series that a season is judged on, and as many that a clock is looked for in.
_SERIES = 50
#: Weeks that are forecast.
_WEEKS = 4
#: The longest usual season that is tried, in steps.
_LONGEST = 1_008
#: How much smaller the error of another season than the usual one must be.
_BETTER = 0.95


def split(rows: pd.DataFrame, time: str, entity: Iterable[str]) -> list[pd.DatetimeIndex]:
    """Give the times of each series, in order, without nulls."""
    keys = list(entity)
    groups = rows.groupby(keys, observed=True, sort=False)[time] if keys else [((), rows[time])]
    return [pd.DatetimeIndex(times.dropna().sort_values()) for _, times in groups]


def guess_time_zone(columns: Columns) -> None:
    """Guess the clock that times without an offset were read from."""
    if "time_zone" in columns.decided:
        return
    time = columns.value("time")
    series = split(columns.rows, time, columns.value("entity"))[:_SERIES]
    if series[0].tz is not None:
        columns.guess("time_zone", None, f"the times of '{time}' have an offset")
        return
    step = _usual(series)
    if step >= _DAY:
        columns.guess("time_zone", None, "a step is a day or longer, and a date has no clock")
        return
    clock = clock_of(series, step)
    if clock is None:
        why = "the times have no offset and no change of a clock shows in them; taken as UTC"
        columns.guess("time_zone", None, why)
    else:
        columns.guess("time_zone", clock[0], clock[1], doubtful=True)


def _usual(series: list[pd.DatetimeIndex]) -> pd.Timedelta:
    """Find the commonest distance of neighbouring times.

    Raises:
        DataError: No series has two times.
    """
    distances = [np.diff(times.unique().to_numpy("M8[us]")) for times in series]
    every = pd.Series(np.concatenate(distances))
    if every.empty:
        raise DataError("init.data: no series has two rows; a forecast needs a history.")
    return pd.Timedelta(every.mode().iloc[0])


def guess_frequency(columns: Columns, rows: pd.DataFrame) -> None:
    """Guess the frequency and what is done about missing steps.

    Args:
        columns: What is known so far.
        rows: As the source reads them with what is known, with ``event_timestamp``.

    Raises:
        DataError: The times are on no grid.
    """
    series = split(rows, TIME, columns.value("entity"))
    if "frequency" not in columns.decided:
        alias, why, doubtful = _frequency(series)
        columns.guess("frequency", alias, why, doubtful=doubtful)
    frequency = Frequency.parse(columns.value("frequency"), "init.frequency")
    off = [times[~_on_grid(times, frequency)] for times in series]
    wrong = next((times[0] for times in off if len(times)), None)
    if wrong is not None:
        raise DataError(
            f"init.data: {wrong:%Y-%m-%d %H:%M:%S} is no step of frequency {frequency.alias}; "
            "give another one, init.frequency=…, or make one row a step of the data first."
        )
    if "gaps" not in columns.decided:
        gap_count = sum(_missing(t, frequency) for t in series)
        steps = sum(len(t) for t in series) + gap_count
        if gap_count:
            why = f"{gap_count:,} of {steps:,} steps have no row; they become rows of nulls"
            columns.guess("gaps", "insert", why)
        else:
            columns.guess("gaps", "refuse", f"none of {steps:,} steps is missing")


def _plain(times: pd.DatetimeIndex) -> np.ndarray:
    return times.tz_localize(None).to_numpy("M8[us]")


def _on_grid(times: pd.DatetimeIndex, frequency: Frequency) -> Flags:
    """Say which times are whole steps after the first one, and labels of a step."""
    plain = _plain(times)
    first = np.broadcast_to(plain[:1], plain.shape)
    whole = frequency.shift(first, frequency.steps_between(first, plain)) == plain
    return np.asarray(whole & frequency.labels(plain), dtype=np.bool_)


def _missing(times: pd.DatetimeIndex, frequency: Frequency) -> int:
    plain = _plain(times)
    return int((frequency.steps_between(plain[:-1], plain[1:]) - 1).sum())


def _frequency(series: list[pd.DatetimeIndex]) -> tuple[str, str, bool]:
    """Return the alias, why, and whether it is doubtful."""
    step = _usual(series)
    days = step / _DAY
    every = pd.DatetimeIndex(np.concatenate([_plain(times) for times in series]))
    if days < 1:
        return _below_a_day(series, step)
    if (every != every.normalize()).any():
        raise DataError(
            f"init.data: rows are {days:g} days apart and have a time of day, such as "
            f"{every[every != every.normalize()][0]}; a day is labelled by its date: cut the time "
            "off first, or give init.frequency."
        )
    if days == 1:
        return _daily(series, every)
    if days == 7:
        return _weekly(every)
    months = {range(28, 32): "M", range(89, 93): "Q", range(365, 367): "Y"}
    unit = next((unit for lengths, unit in months.items() if int(days) in lengths), None)
    if unit is not None:
        for ending, fits, what in (
            ("S", every.is_month_start, "first"),
            ("E", every.is_month_end, "last"),
        ):
            if fits.all():
                whole = {"M": "month", "Q": "quarter", "Y": "year"}[unit]
                return f"{unit}{ending}", f"every row is of the {what} day of a {whole}", False
    return f"{int(days)}D", f"most rows are {int(days)} days apart", unit is not None


def _below_a_day(series: list[pd.DatetimeIndex], step: pd.Timedelta) -> tuple[str, str, bool]:
    seconds = int(step.total_seconds())
    if seconds < 1 or step != pd.Timedelta(seconds=seconds):
        raise DataError(
            f"init.data: most rows are {step} apart, and a step is a second at least; make one "
            "row a step of them first."
        )
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds % size == 0:
            count = seconds // size
            alias = unit if count == 1 else f"{count}{unit}"
            share = np.mean(
                np.concatenate([np.diff(_plain(t)) == step.to_timedelta64() for t in series])
            )
            return alias, f"{share:.1%} of neighbouring rows are {alias} apart", bool(share < 0.5)
    raise AssertionError("a second is a unit")


def _daily(series: list[pd.DatetimeIndex], every: pd.DatetimeIndex) -> tuple[str, str, bool]:
    if (every.dayofweek < 5).all() and len(every.unique()) > 7:
        for alias in _CALENDARS:
            frequency = Frequency.parse(alias)
            whole = all(frequency.labels(_plain(times)).all() for times in series)
            if whole and not any(_missing(times, frequency) for times in series):
                return (
                    alias,
                    f"no row is of a Saturday or Sunday, and no step of {alias} is missing",
                    False,
                )
        return _closed_days(series, every) or ("B", "no row is of a Saturday or Sunday", False)
    return "D", "most rows are a day apart", False


def _closed_days(
    series: list[pd.DatetimeIndex], every: pd.DatetimeIndex
) -> tuple[str, str, bool] | None:
    """Take the few business days that no series has for days on which all is closed, where no other
    step is missing.
    """
    first, last = every.min(), every.max()
    closed = pd.bdate_range(first, last).difference(every)
    if not 0 < len(closed) <= _CLOSED * len(every.unique()):
        return None
    alias = "B:" + "+".join(f"{day:%Y-%m-%d}" for day in closed)
    frequency = Frequency.parse(alias)
    if any(_missing(times, frequency) for times in series):
        return None
    why = (
        f"no row is of a Saturday or Sunday, nor of {len(closed)} other days such as "
        f"{closed[0]:%Y-%m-%d}; a country or an exchange, such as B:US, also knows those to come"
    )
    return alias, why, True


def _weekly(every: pd.DatetimeIndex) -> tuple[str, str, bool]:
    weekdays = sorted({*every.dayofweek})
    if len(weekdays) > 1:
        names = ", ".join(_WEEKDAYS[day] for day in weekdays)
        return "W", f"most rows are a week apart, from {names} on; each label begins one", False
    day = _WEEKDAYS[weekdays[0]]
    if day in ("FRI", "SAT", "SUN"):
        return f"W-{day}", f"every row is of a {day}, taken for the last day of its week", True
    return "W", f"every row is of a {day}, taken for the first day of its week", day != "MON"


def guess_season(columns: Columns, rows: pd.DataFrame) -> None:
    """Guess how far to forecast, and the season by the naive forecast that errs least."""
    frequency = Frequency.parse(columns.value("frequency"))
    grid = _grid(rows, columns.value("targets")[0], columns.value("entity"), frequency)
    length = int(np.median([np.isfinite(values).sum() for values in grid]))
    seasons = _seasons(frequency)
    if "horizon" not in columns.decided:
        columns.guess("horizon", *_horizon(columns, rows, frequency, length))
    if "season_length" in columns.decided:
        return
    horizon = columns.value("horizon")
    errors = {
        season: error
        for season in (*seasons, 1)
        if length >= 2 * season + horizon
        and (error := _naive_error(grid, season, horizon)) < np.inf
    }
    if not errors:
        columns.guess("season_length", 1, f"{length} steps are too few to see a season")
        return
    usual = next(iter(errors))
    best = min(errors, key=lambda season: errors[season])
    best = best if errors[best] < _BETTER * errors[usual] else usual
    figures = ", ".join(f"{season}: {error:.4g}" for season, error in errors.items())
    why = f"the mean errors of naive forecasts with drift by the length of the season are {figures}"
    columns.guess("season_length", best, why)


def _horizon(
    columns: Columns, rows: pd.DataFrame, frequency: Frequency, length: int
) -> tuple[int, str]:
    """Return the horizon and why."""
    seasons = _seasons(frequency)
    usual = min(seasons[0], _WEEKS) if frequency.seconds == 7 * 86400 else (seasons or [1])[0]
    horizon, why = usual, f"{usual} steps of {frequency.alias} are usual"
    if length // 6 < horizon:
        horizon, why = max(1, length // 6), f"a sixth of the {length} steps of a series"
    known = columns.value("known")
    if known:
        targets = list(columns.value("targets"))
        actual = rows.loc[rows[targets].notna().any(axis=1), TIME].max()
        ahead = rows.loc[(rows[TIME] > actual) & rows[known].notna().all(axis=1), TIME].nunique()
        if 0 < ahead < horizon:
            horizon, why = ahead, f"{', '.join(known)} are known for {ahead} steps ahead"
    return horizon, why


def _seasons(frequency: Frequency) -> list[int]:
    """List the usual seasons in steps, the shortest first."""
    hour = [3600 // frequency.seconds] if 0 < frequency.seconds < 600 else []
    return [n for n in (*hour, *frequency.seasons) if 1 < n <= _LONGEST]


def _grid(
    rows: pd.DataFrame, target: str, entity: list[str], frequency: Frequency
) -> list[np.ndarray]:
    """Give the target of some series at every step, null where there is no row."""
    groups = rows.groupby(entity, observed=True, sort=False) if entity else [((), rows)]
    grid = []
    for _, group in list(groups)[:_SERIES]:
        series = group.dropna(subset=[target]).sort_values(TIME)
        if series.empty:
            continue
        times = _plain(pd.DatetimeIndex(series[TIME]))
        steps = frequency.steps_between(np.broadcast_to(times[:1], times.shape), times)
        values = np.full(int(steps[-1]) + 1, np.nan)
        values[steps] = series[target].to_numpy(float)
        grid.append(values)
    if not grid:
        raise DataError(f"init.targets: column '{target}' is null in every row.")
    return grid


def _naive_error(grid: list[np.ndarray], season: int, horizon: int) -> float:
    """Measure how far steps are, on average, from the newest of their season at the origin with the
    mean change since then, each series in its own scale.
    """
    errors = []
    for values in grid:
        scale = np.nanmean(np.abs(values)) or 1.0
        for step in range(1, horizon + 1):
            lag = season * -(-step // season)
            if lag < len(values):
                changes = (values[lag:] - values[:-lag]) / scale
                if np.isfinite(changes).any():
                    errors.append(np.abs(changes - np.nanmean(changes)))
    every = np.concatenate(errors) if errors else np.array([])
    every = every[np.isfinite(every)]
    return float(every.mean()) if len(every) else np.inf
