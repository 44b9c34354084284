"""From a reference in a registry to a pair that may answer: resolved, proven, opened, replayed."""

from __future__ import annotations

from dataclasses import dataclass

from framework.config.catalog import Plugins
from framework.interfaces.registry import PairVersion, ProvenPair, Registry
from framework.pairs.artifacts import open_pair
from framework.pairs.golden import Golden, golden_of, replay
from framework.pairs.pair import Pair


@dataclass(frozen=True)
class LoadedPair:
    version: PairVersion
    pair: Pair
    golden: Golden


def load_pair(registry: Registry, plugins: Plugins, name: str, reference: str) -> LoadedPair:
    """The pair that ``reference`` (alias, number, ``latest``) means. Raises RegistryError or
    RefusedError; never returns half of one.
    """
    return open_proven(registry.fetch(registry.resolve(name, reference)), plugins)


def open_proven(proven: ProvenPair, plugins: Plugins) -> LoadedPair:
    """Open a proven pair and replay its golden batch. Raises RefusedError when it does not answer
    as in training.
    """
    pair = open_pair(proven.preprocessor, proven.model, plugins)
    golden = golden_of(proven.model)
    replay(pair, golden)
    return LoadedPair(proven.version, pair, golden)
