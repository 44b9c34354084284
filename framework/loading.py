"""From a reference in a registry to a pair that may answer: resolved, proven, opened, replayed."""

from __future__ import annotations

from dataclasses import dataclass

from framework.golden import Golden
from framework.interfaces.registry import ProvenPair, Registry
from framework.interfaces.values import PairVersion
from framework.pair import Pair
from framework.pairing import golden_of, open_pair, replay
from framework.plugins import Plugins


@dataclass(frozen=True)
class LoadedPair:
    version: PairVersion
    pair: Pair
    golden: Golden


def load_pair(registry: Registry, plugins: Plugins, name: str, reference: str) -> LoadedPair:
    """The pair that ``reference`` (alias, number, ``latest``) means. Raises RegistryError or RefusedError; never returns half of one."""
    return open_proven(registry.fetch(registry.resolve(name, reference)), plugins)


def open_proven(proven: ProvenPair, plugins: Plugins) -> LoadedPair:
    """Open a proven pair and replay its golden batch. Raises RefusedError when it does not answer as in training."""
    pair = open_pair(proven.preprocessor, proven.model, plugins)
    golden = golden_of(proven.model)
    replay(pair, golden)
    return LoadedPair(proven.version, pair, golden)
