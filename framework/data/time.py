"""Times as text and as arrays, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from framework.data.arrays import Times
from framework.errors import ConfigError, DataError

#: So many texts are made faster one by one than after a look at which are equal.
_FEW = 32


def parse_time(text: str, where: str) -> datetime:
    """Read an ISO 8601 time.

    Args:
        text: The time; without an offset it is UTC.
        where: The config path or field that it stands at, for messages.

    Returns:
        The time in UTC.

    Raises:
        ConfigError: It is no such time.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{where}: '{text}' is not an ISO 8601 time, such as 2013-12-24 or 2013-12-24T06:00Z."
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def to_numpy(time: datetime) -> np.datetime64:
    """Make a numpy time of an aware one.

    Args:
        time: A time with a zone.

    Returns:
        The time in UTC, ``datetime64[us]``.

    Raises:
        DataError: The time has no zone.
    """
    if time.tzinfo is None:
        raise DataError(f"{time} has no time zone.")
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def format_times(times: Times) -> list[str | None]:
    """Write times as text.

    Args:
        times: ``[n]`` (UTC).

    Returns:
        ``[n]`` texts such as ``2013-06-01T00:00:00Z``, with a fraction of a second only where there
        is one; None for NaT.
    """
    if len(times) > _FEW:
        distinct, which = np.unique(times, return_inverse=True)
        if len(distinct) < len(times):
            texts = format_times(distinct)
            return [texts[i] for i in which.tolist()]
    return [None if time is None else time.isoformat() + "Z" for time in times.tolist()]
