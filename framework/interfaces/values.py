"""The values that cross the seams: schema, context, windows, forecast. Arrays, not data frames.

Letters in shapes: n windows (or series), L context steps, H horizon steps, T targets, P past columns, K
known-in-advance columns, S static columns, Q quantiles, F features after preprocessing. All times are UTC,
``datetime64[us]``, and label the start of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from framework.interfaces import views

TIME = views.TIME

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Times = npt.NDArray[np.datetime64]
Objects = npt.NDArray[np.object_]

OK = "ok"
UNKNOWN_ENTITY = "unknown_entity"
MISSING_FEATURE = "missing_feature"
STALE = "stale"
SHORT_HISTORY = "short_history"
ERROR = "error"


Flags = npt.NDArray[np.bool_]


class Schema(BaseModel):
    """What a pair was trained on and answers. Saved with both halves; the door of every request is built from it.

    ``past``: numeric columns of a context row, the targets first. ``nullable``: the columns of ``past`` and the categories that held
    nulls in training and may be null in a request. ``known``: numeric columns known in advance, given for future steps.
    ``static``: text columns; the entity keys first, then category features. ``categories``: the values of each that training saw,
    sorted, None where there are too many; empty for a pair of an earlier version.
    ``anchors``: a time of each grid that the training series lie on, none where any time will do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entity_keys: tuple[str, ...]
    frequency: str
    targets: tuple[str, ...]
    past: tuple[str, ...]
    nullable: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]
    horizon: int
    context_length: int
    quantiles: tuple[float, ...]
    categories: dict[str, tuple[str, ...] | None] = {}
    anchors: tuple[str, ...] = ()

    def column_error(self, given: tuple[str, ...]) -> str | None:
        """One line naming the columns that are missing or unknown among ``given``, or None."""
        expected = {*self.entity_keys, TIME, *self.past, *self.static}
        missing, extra = sorted(expected - set(given)), sorted(set(given) - expected)
        parts = [f"missing {missing}"] if missing else []
        parts += [f"unknown {extra}"] if extra else []
        return f"pair '{self.name}': columns " + " and ".join(parts) if parts else None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Which row of each view a looked-up window was described with. ``times[view]``: its ``event_timestamp``, NaT for none.

    ``stale[view]``: it is older than the view's ttl allows; a forecast from it is made only where the policy is to flag it.
    """

    times: dict[str, Times]  # [n]
    stale: dict[str, Flags]  # [n]

    def take(self, index: npt.NDArray[np.int64]) -> Freshness:
        """The windows at ``index``, in that order."""
        return Freshness({v: t[index] for v, t in self.times.items()}, {v: s[index] for v, s in self.stale.items()})


@dataclass(frozen=True, slots=True)
class Context:
    """What a forecast is made from: per window, the last L steps that end at its origin.

    A window whose ``status`` is not ``ok`` has undefined values and gets no forecast. ``levels``: the prediction intervals that
    are asked for, in per cent. ``freshness``: None where nothing was looked up. ``horizon``: the steps that are asked for, None for all.
    ``unseen``: by category, in how many windows its value was not seen in training; None until somebody has looked.
    """

    origins: Times  # [n]
    past: Float64  # [n, L, P], NaN where null; columns as Schema.past
    known: Float64  # [n, H, K]; columns as Schema.known
    static: Objects  # [n, S] str; columns as Schema.static, entity keys first; None for a null category
    status: list[str]  # [n], one of the status words above
    detail: list[str | None]  # [n], why a status is not ok
    levels: tuple[float, ...] = ()
    freshness: Freshness | None = None
    horizon: int | None = None
    unseen: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.status)

    def take(self, index: npt.NDArray[np.int64]) -> Context:
        """The windows at ``index``, in that order."""
        return Context(
            self.origins[index],
            self.past[index],
            self.known[index],
            self.static[index],
            [self.status[i] for i in index],
            [self.detail[i] for i in index],
            self.levels,
            None if self.freshness is None else self.freshness.take(index),
            self.horizon,
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """A model's input, after preprocessing. ``target_past`` is in the targets' natural unit, untouched."""

    target_past: Float64  # [n, L, T]
    past: Float32  # [n, L, F]
    future: Float32  # [n, H, K']
    static: Float32  # [n, S']
    target: Float64 | None = None  # [n, H, T] in training; NaN where unknown

    def __len__(self) -> int:
        return len(self.past)

    def part(self, start: int, stop: int) -> Windows:
        """The windows ``start:stop``, without their targets."""
        return Windows(self.target_past[start:stop], self.past[start:stop], self.future[start:stop], self.static[start:stop])


@dataclass(frozen=True, slots=True)
class Forecast:
    """``values[n, H, T, 1 + Q]`` in natural units: the mean, then the quantiles in rising order of ``quantiles``.

    ``intervals``: lower and upper ends ``[n, H, T, 2]`` by level, such as ``"80"``. ``freshness``, ``unseen``: the context's.
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


@dataclass(frozen=True, slots=True)
class PairVersion:
    """One registered pair. ``digest`` covers every byte of both artifacts, the schema, the config and the run id."""

    name: str
    version: int
    pair_id: str
    digest: str
    run_id: str
    created: str  # ISO 8601, UTC
    aliases: tuple[str, ...] = ()

    def stamp(self, alias: str | None = None) -> dict[str, Any]:
        """What a response carries: ``{name, version, alias, digest}``."""
        return {"name": self.name, "version": self.version, "alias": alias, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a registry's history: what was done to which pair, by whom, when (UTC), why, on what figures."""

    at: str
    who: str
    action: str  # "register", "move", "refuse", "void", "repair"
    name: str
    alias: str | None
    before: int | None
    after: int | None
    reason: str | None
    verdict: dict[str, Any] | None
    digest: str | None
