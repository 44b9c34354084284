"""Steps of a panel: pandas offset aliases with a fixed length, whole months or business days."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Times
from framework.data.business_days import (
    are_business_days,
    count_business_days,
    shift_business_days,
)
from framework.data.holiday_dates import holiday_days
from framework.errors import ConfigError

_SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
_MONTHS = {"MS": 1, "QS": 3, "YS": 12, "ME": 1, "QE": 3, "YE": 12}
_DAY = np.timedelta64(1, "D")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ANCHORS = "|".join(_WEEKDAYS), "|".join(_MONTH_NAMES)
_ALIAS = re.compile(
    rf"(\d*)(?:(s|min|h|D|W|[MQY][SE])|(W)-({_ANCHORS[0]})|([QY][SE])-({_ANCHORS[1]})|"
    r"(B)(?::([\w+-]+))?)"
)
_KNOWN = "s min h D B W MS QS YS ME QE YE, such as 15min, D, W-SUN, QE-MAR or B:US"

#: What other tools, and hands, write for a step; a count may stand before it.
_MEANT = {
    **dict.fromkeys(("S", "sec", "second", "seconds", "secondly"), "s"),
    **dict.fromkeys(("T", "m", "Min", "MIN", "minute", "minutes", "minutely"), "min"),
    **dict.fromkeys(("H", "hr", "hour", "hours", "hourly"), "h"),
    **dict.fromkeys(("d", "day", "days", "daily"), "D"),
    **dict.fromkeys(("w", "week", "weeks", "weekly"), "W"),
    **dict.fromkeys(
        ("M", "mo", "month", "months", "monthly"), "MS for month starts or ME for month ends"
    ),
    **dict.fromkeys(
        ("Q", "quarter", "quarters", "quarterly"),
        "QS for the starts of quarters or QE for their ends",
    ),
    **dict.fromkeys(
        ("Y", "A", "year", "years", "yearly", "annual"),
        "YS for the starts of years or YE for their ends",
    ),
    "AS": "YS",
}


@dataclass(frozen=True, slots=True)
class Frequency:
    """``D``, ``h``, ``15min``, ``W`` … or months: ``MS QS YS`` label their start, ``ME QE YE``
    their last day. ``B`` is Monday to Friday, ``B:US`` without the holidays of a calendar.

    Quarters and years may begin in any month, weeks on any day, and so on: each series' first row
    says where. ``QE-MAR`` names the month, and ``W-SUN`` the weekday that labels a week: its last
    day, as in pandas.
    """

    alias: str
    seconds: int
    months: int
    ends: bool = False
    path: str = field(default="panel.frequency", compare=False)  # where it stands, for messages
    anchor: int | None = None  # weekday (Monday 0) or month (January 0) of every label
    closed: str | None = None  # the holidays of business days; None where steps are others
    count: int = 1  # business days of a step

    @classmethod
    def parse(cls, alias: str, path: str = "panel.frequency") -> Frequency:
        """Read a frequency from its alias.

        Args:
            alias: A pandas offset alias, such as ``D``, ``15min``, ``MS`` or ``W-SUN``; ``B`` may
                have the holidays of a calendar behind it, ``B:US``.
            path: Where in the configuration it stands, for messages.

        Returns:
            The frequency.

        Raises:
            ConfigError: It is none; the message says what was meant.
        """
        match = _ALIAS.fullmatch(alias)
        if match is None or match[1].strip("0") == "" != match[1]:
            raise ConfigError(f"{path} '{alias}' is not known;{_hint(alias)} use one of {_KNOWN}.")
        count = int(match[1] or 1)
        if match[7]:
            closed = match[8] or ""
            if closed:
                holiday_days(closed, 2024, 2024, path)
            return cls(alias, 0, 0, path=path, closed=closed, count=count)
        if match[3]:
            return cls(alias, count * _SECONDS["W"], 0, True, path, _WEEKDAYS.index(match[4]))
        unit = match[2] or match[5]
        anchor = _MONTH_NAMES.index(match[6]) if match[6] else None
        seconds, months = count * _SECONDS.get(unit, 0), count * _MONTHS.get(unit, 0)
        return cls(alias, seconds, months, unit.endswith("E"), path, anchor)

    @property
    def whole_days(self) -> bool:
        """Say whether a step is whole days, so that its label is a date and no moment."""
        return bool(self.months) or self.seconds % 86400 == 0

    @property
    def seasons(self) -> tuple[int, ...]:
        """The usual season lengths in steps, the shortest first."""
        if self.closed is not None:
            return (5,) if self.count == 1 else ()
        if self.months:
            return (12 // self.months,) if self.months < 12 else ()
        if self.seconds >= 7 * 86_400:
            steps = round(365.25 * 86_400 / self.seconds)
            return (steps,) if steps > 1 else ()
        spans = (86_400, 7 * 86_400)
        return tuple(
            span // self.seconds
            for span in spans
            if span % self.seconds == 0 and span > self.seconds
        )

    @property
    def several_days(self) -> bool:
        """Say whether a step is more than one day."""
        return bool(self.months) or self.seconds > 86400 or self.count > 1

    @property
    def longest(self) -> timedelta:
        """The length of a step, the longest one of months; a business day is a day."""
        days = {0: 0, 1: 31, 3: 92, 12: 366}.get(self.months, 31 * self.months)
        business = self.count if self.closed is not None else 0
        return timedelta(days=days + business, seconds=self.seconds)

    def shift(self, times: Times, steps: Any) -> Times:
        """Move times by steps.

        With steps of months or business days a time that is no label counts as the newest label
        before it.

        Args:
            times: The times (UTC).
            steps: How many steps, in a shape that fits; negative: back.

        Returns:
            The times, ``datetime64[us]``.
        """
        steps = np.asarray(steps, dtype=np.int64)
        if self.closed is not None:
            return shift_business_days(times, steps * self.count, self.closed)
        if self.seconds:
            length = np.timedelta64(self.seconds * 1_000_000, "us")
            return np.asarray(np.asarray(times, "M8[us]") + steps * length)
        return self._label(self._month(times) + steps * self.months)

    def steps_between(self, first: Times, last: Times) -> npt.NDArray[np.int64]:
        """Count whole steps between times.

        Args:
            first: The earlier times (UTC).
            last: The later times, in a shape that fits.

        Returns:
            The steps, rounded down; negative where ``last`` is earlier.
        """
        if self.closed is not None:
            return count_business_days(first, last, self.closed) // self.count
        if self.seconds:
            length = np.timedelta64(self.seconds * 1_000_000, "us")
            steps = (np.asarray(last, "M8[us]") - np.asarray(first, "M8[us]")) // length
        else:
            steps = (self._month(last) - self._month(first)).astype(np.int64) // self.months
        return np.asarray(steps, dtype=np.int64)

    def after(self, origins: Times, horizon: int) -> Times:
        """List the steps that follow origins.

        Args:
            origins: ``[n]`` (UTC).
            horizon: How many steps.

        Returns:
            ``[n, horizon]``.
        """
        return self.shift(np.asarray(origins)[:, None], np.arange(1, horizon + 1)[None, :])

    def labels(self, times: Times) -> Flags:
        """Say which times can be the label of a step, whatever the series.

        Args:
            times: ``[n]`` (UTC).

        Returns:
            ``[n]``.
        """
        stamps = np.asarray(times, "M8[us]")
        if self.closed is not None:
            return are_business_days(stamps, self.closed)
        if self.anchor is None:
            return np.asarray(self.shift(times, 0) == stamps, dtype=np.bool_)
        if self.seconds:
            weekdays = (stamps.astype("M8[D]").astype(np.int64) + 3) % 7
            return np.asarray((weekdays == self.anchor) & (stamps == stamps.astype("M8[D]")))
        period = _MONTHS[re.sub(r"\d|-.*", "", self.alias)]
        months = stamps.astype("M8[M]").astype(np.int64)
        on_grid = np.asarray(self.shift(times, 0) == stamps)
        return np.asarray(on_grid & ((months - self.anchor) % period == 0))

    def over(self, times: Times) -> Times:
        """Find the moment at which a step is over, hence known.

        Args:
            times: The labels of steps (UTC).

        Returns:
            The moments.
        """
        if self.ends:
            return np.asarray(np.asarray(times, "M8[us]") + _DAY)
        if self.closed is not None:
            return np.asarray(
                shift_business_days(times, np.asarray(self.count - 1), self.closed) + _DAY
            )
        return self.shift(times, 1)

    def days(self, times: Times) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Find the days of steps of whole days.

        Args:
            times: The labels of steps (UTC).

        Returns:
            Days since 1970: the first day of each step, and the one after its last.
        """
        if self.closed is not None or (self.ends and self.seconds):
            after = self.over(times).astype("M8[D]").astype(np.int64)
            begin = np.asarray(times, "M8[D]").astype(np.int64)
            return (begin if self.closed is not None else after - self.seconds // 86400), after
        if self.ends:
            months = self._month(times)
            first, last = (months + 1 - self.months).astype("M8[D]"), (months + 1).astype("M8[D]")
        else:
            first, last = np.asarray(times, "M8[D]"), self.shift(times, 1).astype("M8[D]")
        return first.astype(np.int64), last.astype(np.int64)

    def what_a_label_is(self, time: np.datetime64) -> str:
        """Describe the label of a step, for a message about a time that is none.

        Args:
            time: The time that is none (UTC).

        Returns:
            The words.
        """
        if self.closed is not None:
            closed = f" that is no holiday of {self.closed}" if self.closed else ""
            return (
                f"the midnight of a day from Monday to Friday{closed}, as {self.alias} labels a "
                f"business day; leave out other days in a query, or set {self.path}=D"
            )
        if self.anchor is not None and self.seconds:
            weekday = _WEEKDAYS[int(time.astype("M8[D]").astype(np.int64) + 3) % 7]
            return (
                f"the midnight of the weekday that ends a step of {self.alias}; it is of a "
                f"{weekday}, for which set {self.path}={self.alias[:-3]}{weekday}"
            )
        if not self.months:
            return f"a step of {self.alias}"
        if self.anchor is not None:
            return f"the day of the month that labels a step of {self.alias}, as pandas writes it"
        period = {"M": "month", "Q": "quarter", "Y": "year"}[self.alias.lstrip("0123456789")[0]]
        if self.ends:
            return f"the last day of a month at midnight, as {self.alias} labels a {period}"
        ends = self.alias[:-1] + "E"
        return (
            f"the first day of a month at midnight, as {self.alias} labels a {period}; "
            f"for last days set {self.path}={ends}, for other days truncate them in a query"
        )

    def _month(self, times: Times) -> npt.NDArray[np.datetime64]:
        """The month of the newest label that is not later."""
        if not self.ends:
            return np.asarray(times).astype("M8[M]")
        following = np.asarray(times, "M8[us]") + _DAY
        return np.asarray(following.astype("M8[M]") - np.timedelta64(1, "M"))

    def _label(self, months: npt.NDArray[np.datetime64]) -> Times:
        if not self.ends:
            return np.asarray(months.astype("M8[us]"))
        return np.asarray((months + np.timedelta64(1, "M")).astype("M8[us]") - _DAY)


def _hint(alias: str) -> str:
    """Suggest what was meant by another tool's word."""
    if re.fullmatch(r"\d*(C|BMS?|BME|BQS?|BQE|BYS?|BYE|bday|business)(-\w+)?", alias):
        return " write B for business days, or B:US without the holidays of a country;"
    anchored = re.fullmatch(r"(\d*)([MQYA]|[MQYA]S)-[A-Za-z]{3}", alias)
    if anchored:
        unit = anchored[1] + _MEANT.get(anchored[2], anchored[2])
        return f" write {unit}: each series' first row says where its steps begin;"
    other = re.fullmatch(r"(\d*) ?([A-Za-z]+)", alias)
    if other is None or other[2] not in _MEANT:
        return ""
    unit = _MEANT[other[2]]
    if len(unit) > 3:  # several readings
        return f" write {unit};"
    return f" write {other[1]}{unit};"
