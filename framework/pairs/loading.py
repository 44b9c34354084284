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
    """A pair that may answer, with the registry's entry and the golden batch that it has
    answered.
    """

    version: PairVersion
    pair: Pair
    golden: Golden


def load_pair(registry: Registry, plugins: Plugins, name: str, reference: str) -> LoadedPair:
    """Bring the pair that a reference means from the registry to where it may answer.

    Args:
        registry: The registry.
        plugins: Where components are found.
        name: The pair's name.
        reference: An alias, a version number, or ``latest``.

    Returns:
        The proven, opened and replayed pair, never half of one.

    Raises:
        RegistryError: There is no such pair.
        RefusedError: A byte differs, or the pair does not answer as in training.
    """
    return open_proven(registry.fetch(registry.resolve(name, reference)), plugins)


def open_proven(pair_files: ProvenPair, plugins: Plugins) -> LoadedPair:
    """Open a proven pair and replay its golden batch.

    Args:
        pair_files: What the registry fetched.
        plugins: Where components are found.

    Returns:
        The pair.

    Raises:
        RefusedError: It does not answer as in training.
    """
    pair = open_pair(pair_files.preprocessor, pair_files.model, plugins)
    golden = golden_of(pair_files.model)
    replay(pair, golden)
    return LoadedPair(pair_files.version, pair, golden)
