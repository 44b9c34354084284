"""The arguments of the hooks of serving: plain data about a server, its arms and its requests.

:mod:`framework.plugins.hookspecs` says when each hook is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from framework.data.schema import Schema
    from framework.features.views import FeatureSet
    from framework.interfaces.registry import PairVersion


class ServedDeployment(Protocol):
    """The pairs that a server serves: :class:`framework.serving.deployment.Deployment`, as
    observers see it.

    ``name``: of the pairs. ``reference``: the alias or number that is served. ``retrieval``: the
    name of the retrieval strategy. ``state``: the folder for what a server keeps. ``parts``: makes
    the configured components, as ``parts.make("registry")``.
    """

    @property
    def name(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def features(self) -> FeatureSet: ...
    @property
    def retrieval(self) -> str: ...
    @property
    def state(self) -> Path: ...
    @property
    def parts(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class ServedArm:
    """An arm of a server, and the pair that it answers with.

    ``name``: the alias that it follows, or its number when it follows none; then ``alias`` is
    None. ``pair``: name, version, digest and so on. ``schema``: the columns of the pair, entity
    keys and targets among them. ``shadow``: no client gets its forecasts.
    """

    name: str
    alias: str | None
    pair: PairVersion
    schema: Schema
    shadow: bool


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """A request, or the part of one that an arm answered.

    ``id``: the ``X-Request-ID`` of the response; empty for what a shadow is asked. ``at``: when
    the forecasts were ready, UTC. ``forecasts``: how many were asked for.
    """

    id: str
    at: datetime
    forecasts: int
