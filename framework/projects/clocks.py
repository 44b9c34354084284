"""Tells by the changes of the clock which time zone local times were read in."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: One zone for each rule of changing the clock.
ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Athens"),
    *("America/New_York", "America/Santiago", "Australia/Sydney"),
)


def shown_twice(times: pd.DatetimeIndex, zone: str) -> pd.Series:
    """Say which local times the clock of ``zone`` shows twice.

    Args:
        times: Times without an offset.
        zone: The name of a time zone.

    Returns:
        A flag for each time.
    """
    moments = times.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    return pd.Series(moments.isna())


def skipped(times: pd.DatetimeIndex, zone: str) -> pd.Series:
    """Say which local times the clock of ``zone`` never shows.

    Args:
        times: Times without an offset.
        zone: The name of a time zone.

    Returns:
        A flag for each time.
    """
    earlier = np.ones(len(times), dtype=np.bool_)
    moments = times.tz_localize(zone, ambiguous=earlier, nonexistent="NaT")
    return pd.Series(moments.isna())


def clock_of(series: list[pd.DatetimeIndex], step: pd.Timedelta) -> tuple[str, str] | None:
    """Find the zone by whose clock some series were written.

    Args:
        series: The times of each, without an offset, in order.
        step: How far apart they are.

    Returns:
        The zone, and what speaks for it; None where nothing does.
    """
    for zone in ZONES:
        twice = skips = 0
        for times in series:
            double = times[times.duplicated()]
            single = times.unique()
            if skipped(single, zone).any() or not shown_twice(double, zone).all():
                break
            expected = pd.date_range(single[0], single[-1], freq=step)
            missing_times = expected[skipped(expected, zone).to_numpy()]
            around = (missing_times - pd.Timedelta(hours=1)).isin(single)
            skips += int(around.sum())
            autumn = single[shown_twice(single, zone).to_numpy()]
            if not set(autumn) <= set(double):
                break
            twice += len(double)
        else:
            if twice or skips:
                return zone, (
                    f"{twice} times stand twice and {skips} are missing where the clock of {zone} "
                    "changes"
                )
    return None
