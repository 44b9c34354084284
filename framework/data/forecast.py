"""The answer of a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from framework.data.arrays import Flags, Float64, Objects, Times
from framework.data.context import Freshness


@dataclass(frozen=True, slots=True)
class Forecast:
    """``values[n, H, T, 1 + Q]`` in natural units: the mean, then the quantiles in rising order of
    ``quantiles``.

    ``intervals``: lower and upper ends ``[n, H, T, 2]`` by level, such as ``"80"``. ``freshness``,
    ``unseen``: the context's. ``levels``: the version of the followed levels that the
    intervals are of, 0 for the pair's own. ``cold``: the windows without any value of a target of
    their own, ``short``: those whose first steps hold nothing; None where the pair
    forecasts no such window.
    """

    origins: Times  # [n]
    times: Times  # [n, H]
    entities: Objects  # [n, E] str
    values: Float64  # [n, H, T, 1 + Q]
    targets: tuple[str, ...]
    quantiles: tuple[float, ...]
    status: list[str]
    detail: list[str | None]
    intervals: dict[str, Float64] = field(default_factory=dict)
    freshness: Freshness | None = None
    unseen: dict[str, int] | None = None
    levels: int = 0
    cold: Flags | None = None  # [n]
    short: Flags | None = None  # [n]
