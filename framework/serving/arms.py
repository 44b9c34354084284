"""The arms of a server: pairs that are ready to answer, each under the alias that it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from framework.golden import Golden
from framework.interfaces.values import Context, Forecast, PairVersion, Schema
from framework.serving.payload import Entities, Lookup
from framework.serving.render import Renderer


class Forecaster(Protocol):
    """The stages of the request pipeline for one pair, wherever they run. Raises :class:`~framework.serving.refusal.Refusal`."""

    async def read_payload(self, body: bytes) -> Context:
        """Rows of a request to windows."""

    async def read_entities(self, lookup: Lookup) -> Context:
        """Entities to windows, from the feature store."""

    async def answer(self, context: Context) -> Forecast:
        """Windows to forecasts, each with its status."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Arm:
    """A proven and warmed pair. Immutable: a request that has one keeps it to its end, whatever is swapped meanwhile.

    ``name``: the alias that it follows, or its number when it follows none.
    """

    name: str
    version: PairVersion
    schema: Schema
    golden: Golden
    pipeline: Forecaster
    render: Renderer
    entities: Entities

    @property
    def stamp(self) -> dict[str, Any]:
        return self.version.stamp(alias_of(self.name))


def alias_of(reference: str) -> str | None:
    """The reference when it is an alias, None when it is a number."""
    return None if reference.isdecimal() else reference


@dataclass(frozen=True, slots=True)
class Table:
    """All arms at one moment. ``primary`` answers unless something else is asked for."""

    primary: Arm
    arms: Mapping[str, Arm]


class Arms:
    """The table that requests start with. It is replaced as a whole, so that a request sees one moment only."""

    def __init__(self, primary: Arm) -> None:
        self.table = Table(primary, MappingProxyType({primary.name: primary}))

    def put(self, arm: Arm) -> None:
        """Let ``arm`` answer from the next request on. The one before is let go when its last request has ended."""
        arms = {**self.table.arms, arm.name: arm}
        self.table = Table(arms[self.table.primary.name], MappingProxyType(arms))
