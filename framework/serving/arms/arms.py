"""The arms of a server: pairs that are ready to answer, each under the alias that it follows, and
which entity is whose.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from framework.data.buckets import BUCKETS, bucket_of
from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.schema import Schema
from framework.data.vocabulary import CPU
from framework.interfaces.registry import PairVersion
from framework.pairs.followed_levels import FollowedLevels
from framework.pairs.golden import Golden
from framework.pairs.pair import Terms
from framework.serving.deployment import alias_of
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Columns
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.validation import Entities, Lookup


class Forecaster(Protocol):
    """The stages of the request pipeline for one pair, wherever they run. Raises
    :class:`~framework.serving.http.refusal.Refusal`.
    """

    terms: Terms

    def follow(self, levels: FollowedLevels) -> None:
        """Make intervals with other levels from now on."""

    async def read_payload(self, body: bytes | Columns) -> Context:
        """Rows of a request to windows."""

    async def read_entities(self, lookup: Lookup) -> Context:
        """Entities to windows, from the feature store."""

    async def answer(self, context: Context) -> Forecast:
        """Windows to forecasts, each with its status."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Arm:
    """A proven and warmed pair. Immutable: a request that has one keeps it to its end, whatever is
    swapped meanwhile.

    ``name``: the alias that it follows, or its number when it follows none. ``device``: where its
    model forecasts, ``cpu`` or ``cuda:N``.
    """

    name: str
    version: PairVersion
    schema: Schema
    golden: Golden
    pipeline: Forecaster
    render: Renderer
    entities: Entities
    device: str = CPU

    @property
    def stamp(self) -> dict[str, Any]:
        return self.version.stamp(alias_of(self.name))

    def takes_rows_of(self, other: Arm) -> bool:
        """Tell whether a payload for ``other`` has the same meaning for this arm."""
        own, others = self.schema, other.schema
        same = (
            "entity_keys",
            "frequency",
            "past",
            "nullable",
            "known",
            "static",
            "context_length",
            "least_context",
            "horizon",
            "cold",
        )
        return all(getattr(own, part) == getattr(others, part) for part in same)


@dataclass(frozen=True, slots=True)
class ArmTable:
    """All arms at one moment. ``primary`` answers for the entities that are in no other arm's
    ``ranges`` of places.
    """

    primary: Arm
    arms: Mapping[str, Arm]
    ranges: tuple[tuple[range, Arm], ...] = ()

    def of(self, entity: Sequence[str]) -> Arm:
        """The arm of an entity."""
        place = bucket_of(self.primary.version.name, entity)
        return next((arm for places, arm in self.ranges if place in places), self.primary)

    def named(self, name: str) -> Arm:
        """The arm that a request asks for. Raises :class:`Refusal` 422."""
        arm = self.arms.get(name)
        if arm is None:
            raise Refusal(
                422, f"no arm '{name[:100]}' is served; there is {', '.join(self.arms)}", "arm"
            )
        return arm


@dataclass(slots=True)
class _Shares:
    """In per cent. The canary's range begins at the first place and the others' end at the last, so
    that only the primary's changes when the canary's grows.
    """

    split: Mapping[str, float]
    canary: dict[str, float] = field(default_factory=dict)

    def ranges(self, arms: Mapping[str, Arm]) -> tuple[tuple[range, Arm], ...]:
        """An arm that is not there has none: its entities are the primary's."""
        ranges, first, last = [], 0, BUCKETS
        for name, share in self.canary.items():
            places = range(first, first + round(share * BUCKETS / 100))
            first = places.stop
            ranges.append((places, name))
        for name, share in self.split.items():
            places = range(last - round(share * BUCKETS / 100), last)
            last = places.start
            ranges.append((places, name))
        return tuple((places, arms[name]) for places, name in ranges if name in arms and places)


class Arms:
    """The table that requests start with. It is replaced as a whole, so that a request sees one
    moment only.
    """

    def __init__(self, primary: Arm, split: Mapping[str, float]) -> None:
        self._lock, self._shares = threading.Lock(), _Shares(split)
        self.table = ArmTable(primary, MappingProxyType({primary.name: primary}))

    def put(self, arm: Arm) -> None:
        """Let ``arm`` answer from the next request on. The one before is let go when its last
        request has ended.
        """
        with self._lock:
            self._replace({**self.table.arms, arm.name: arm})

    def weigh(self, canary: str, share: float) -> None:
        """Give the canary its share of the entities, in per cent."""
        with self._lock:
            self._shares.canary = {canary: share}
            self._replace(self.table.arms)

    def _replace(self, arms: Mapping[str, Arm]) -> None:
        self.table = ArmTable(
            arms[self.table.primary.name], MappingProxyType(dict(arms)), self._shares.ranges(arms)
        )
