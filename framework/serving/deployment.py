"""What a serving backend is given to serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from framework.golden import Golden
from framework.interfaces.registry import ProvenPair
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.values import PairVersion
from framework.interfaces.views import FeatureSet
from framework.pair import Pair


@dataclass(frozen=True, slots=True)
class Deployment:
    """A pair that has been proven and whose golden batch has been replayed, and where its features come from.

    ``strategy``: None when a request must bring its rows. ``proven``: the pair's data directories, for a backend that opens
    it in processes of its own. ``announce``: to be called once with the base URL, when the server is ready.
    """

    pair: Pair
    golden: Golden
    proven: ProvenPair
    alias: str | None
    features: FeatureSet
    strategy: RetrievalStrategy | None
    announce: Callable[[str], None]

    @property
    def version(self) -> PairVersion:
        return self.proven.version
