"""The holidays that a word names: of a country, a state, an exchange, and single dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from framework.errors import ConfigError

if TYPE_CHECKING:
    from holidays import HolidayBase

Days = npt.NDArray[np.int64]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def holiday_days(word: str, first: int, last: int, path: str) -> Days:
    """Return the holidays of some years, as days since 1970, sorted.

    Args:
        word: ISO 3166 code of a country, ``US``, or of a part of it, ``US-CA``; code of an
            exchange, ``XNYS``; a date, ``2024-12-24``; several of these joined by ``+``.
        first: Year.
        last: Year, included.
        path: Where the word stands in the configuration.

    Returns:
        The dates of the word, whatever their year, and the holidays from ``first`` to ``last``.

    Raises:
        ConfigError: For a code that the package ``holidays`` does not know, and for no date.
    """
    days = [_part(part, first, last, path) for part in word.split("+")]
    return np.unique(np.concatenate(days))


def last_known_year(word: str, path: str) -> int | None:
    """Return the year up to which every calendar that ``word`` names is known; None where it names
    dates alone.
    """
    calendars = [part for part in word.split("+") if not _DATE.fullmatch(part)]
    return min((_calendar(part, (), path).end_year for part in calendars), default=None)


def is_dates_alone(word: str) -> bool:
    """Say whether ``word`` names dates and no calendar, so that every other day is none."""
    return all(_DATE.fullmatch(part) for part in word.split("+"))


@lru_cache(maxsize=1024)
def _part(part: str, first: int, last: int, path: str) -> Days:
    if _DATE.fullmatch(part):
        try:
            return np.array([date.fromisoformat(part)], dtype="M8[D]").astype(np.int64)
        except ValueError as error:
            raise ConfigError(f"{path}: '{part}' is no date: {error}.") from error
    calendar = _calendar(part, range(first, last + 1), path)
    return np.sort(np.array([*calendar], dtype="M8[D]").astype(np.int64))


def _calendar(part: str, years: Iterable[int], path: str) -> HolidayBase:
    import holidays

    country, _, state = part.partition("-")
    try:
        if part in holidays.list_supported_financial():
            return holidays.financial_holidays(part, years=years)
        calendar = holidays.country_holidays(country, subdiv=state or None, years=years)
    except (NotImplementedError, TypeError) as error:
        # the package's answers to a code without a calendar, and to the name of another thing in it
        raise ConfigError(f"{path}: {_unknown(country, state)}") from error
    if not hasattr(calendar, "country"):
        raise ConfigError(f"{path}: {_unknown(country, state)}")
    return calendar


def _unknown(country: str, state: str) -> str:
    import holidays

    states = holidays.list_supported_countries().get(country)
    if states is None:
        return (
            f"the holidays of '{country}' are not known; use an ISO 3166 code such as US or US-CA, "
            "the code of an exchange such as XNYS, or dates such as 2024-12-24."
        )
    names = ", ".join(states) or "none"
    return f"'{country}' has no part '{state}' with holidays of its own; it has {names}."
