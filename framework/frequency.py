"""Steps of a panel: pandas offset aliases with a fixed length or whole months, computed on numpy alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.errors import ConfigError
from framework.interfaces.values import Times

_SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
_MONTHS = {"MS": 1, "QS": 3, "YS": 12}


@dataclass(frozen=True, slots=True)
class Frequency:
    """``D``, ``h``, ``15min``, ``W`` … or the month starts ``MS``, ``QS``, ``YS``."""

    alias: str
    seconds: int
    months: int

    @classmethod
    def parse(cls, alias: str) -> Frequency:
        match = re.fullmatch(r"(\d*)(s|min|h|D|W|MS|QS|YS)", alias)
        if match is None or match[1] == "0":
            raise ConfigError(f"panel.frequency '{alias}' is not known; use one of s min h D W MS QS YS, such as 15min or D.")
        count = int(match[1] or 1)
        return cls(alias, count * _SECONDS.get(match[2], 0), count * _MONTHS.get(match[2], 0))

    def shift(self, times: Times, steps: Any) -> Times:
        """``times`` moved by ``steps`` (broadcast), ``datetime64[us]``."""
        steps = np.asarray(steps, dtype=np.int64)
        if self.seconds:
            return np.asarray(np.asarray(times, "M8[us]") + steps * np.timedelta64(self.seconds * 1_000_000, "us"))
        months = np.asarray(times, "M8[M]")
        within = np.asarray(times, "M8[us]") - months.astype("M8[us]")
        return np.asarray((months + steps * self.months).astype("M8[us]") + within)

    def steps_between(self, first: Times, last: Times) -> npt.NDArray[np.int64]:
        """Whole steps from ``first`` to ``last``, rounded down; negative where ``last`` is earlier."""
        if self.seconds:
            steps = (np.asarray(last, "M8[us]") - np.asarray(first, "M8[us]")) // np.timedelta64(self.seconds * 1_000_000, "us")
        else:
            steps = (np.asarray(last).astype("M8[M]") - np.asarray(first).astype("M8[M]")).astype(np.int64) // self.months
        return np.asarray(steps, dtype=np.int64)

    def after(self, origins: Times, horizon: int) -> Times:
        """``[n] -> [n, horizon]``: the steps that follow each origin."""
        return self.shift(np.asarray(origins)[:, None], np.arange(1, horizon + 1)[None, :])
