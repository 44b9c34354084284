"""Steps of a panel: pandas offset aliases with a fixed length or whole months, on numpy alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Times
from framework.errors import ConfigError

_SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
_MONTHS = {"MS": 1, "QS": 3, "YS": 12, "ME": 1, "QE": 3, "YE": 12}
_DAY = np.timedelta64(1, "D")

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
    their last day.

    Quarters and years may begin in any month, weeks on any day, and so on: each series' first row
    says where.
    """

    alias: str
    seconds: int
    months: int
    ends: bool = False
    path: str = field(default="panel.frequency", compare=False)  # where it stands, for messages

    @classmethod
    def parse(cls, alias: str, path: str = "panel.frequency") -> Frequency:
        """Read a frequency from its alias.

        Args:
            alias: A pandas offset alias, such as ``D``, ``15min`` or ``MS``.
            path: Where in the configuration it stands, for messages.

        Returns:
            The frequency.

        Raises:
            ConfigError: It is none; the message says what was meant.
        """
        match = re.fullmatch(r"(\d*)(s|min|h|D|W|[MQY][SE])", alias)
        if match is None or match[1].strip("0") == "" != match[1]:
            raise ConfigError(
                f"{path} '{alias}' is not known;{_hint(alias)} use one of s min h D W MS QS "
                "YS ME QE YE, such as 15min or D."
            )
        count, unit = int(match[1] or 1), match[2]
        seconds, months = count * _SECONDS.get(unit, 0), count * _MONTHS.get(unit, 0)
        return cls(alias, seconds, months, unit.endswith("E"), path)

    @property
    def whole_days(self) -> bool:
        """Whether a step is one or more whole days, so that its label is a date and no moment."""
        return bool(self.months) or self.seconds % 86400 == 0

    def shift(self, times: Times, steps: Any) -> Times:
        """Move times by steps.

        With steps of months a time that is no label counts as the newest label before it.

        Args:
            times: The times (UTC).
            steps: How many steps, in a shape that fits; negative: back.

        Returns:
            The times, ``datetime64[us]``.
        """
        steps = np.asarray(steps, dtype=np.int64)
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
        return np.asarray(self.shift(times, 0) == np.asarray(times, "M8[us]"), dtype=np.bool_)

    def over(self, times: Times) -> Times:
        """Find the moment at which a step is over, hence known.

        Args:
            times: The labels of steps (UTC).

        Returns:
            The moments.
        """
        return np.asarray(np.asarray(times, "M8[us]") + _DAY) if self.ends else self.shift(times, 1)

    def days(self, times: Times) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Find the days of steps of whole days.

        Args:
            times: The labels of steps (UTC).

        Returns:
            Days since 1970: the first day of each step, and the one after its last.
        """
        if self.ends:
            months = self._month(times)
            first, last = (months + 1 - self.months).astype("M8[D]"), (months + 1).astype("M8[D]")
        else:
            first, last = np.asarray(times, "M8[D]"), self.shift(times, 1).astype("M8[D]")
        return first.astype(np.int64), last.astype(np.int64)

    def what_a_label_is(self) -> str:
        """Describe the label of a step, for a message about a time that is none.

        Returns:
            The words.
        """
        if not self.months:
            return f"a step of {self.alias}"
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
    """What was meant by another tool's word."""
    if re.fullmatch(r"\d*(C|B|BMS?|BME|BQS?|BQE|BYS?|BYE|bday|business)(-\w+)?", alias):
        return (
            " business days are not supported, D with panel.gaps=insert has a row of nulls for "
            "the days between;"
        )
    anchored = re.fullmatch(r"(\d*)(W|[MQYA]|[MQYA]S|[QY]E)-[A-Za-z]{3}", alias)
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
