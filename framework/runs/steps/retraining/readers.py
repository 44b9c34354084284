"""The pairs that read what a retrained pair produces, by what their views say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from framework.errors import FrameworkError
from framework.interfaces.registry import Registry


def reading_pairs(registry: Registry, name: str, warnings: list[str]) -> list[dict[str, Any]]:
    """Find the pairs under an alias, of other names, one of whose views has ``forecasts_of`` this
    name in what they recorded.

    Args:
        registry: Every name of it is looked at.
        name: Of the pairs that forecast.
        warnings: Grows by the pairs that cannot be read.

    Returns:
        ``name``, ``version``, ``aliases`` and ``views`` of each.
    """
    readers = []
    for pair in registry.pairs():
        if pair.name == name or not pair.aliases:
            continue
        try:
            config: Any = OmegaConf.create(registry.fetch(pair).config)
        except FrameworkError as error:
            warnings.append(
                f"monitor.retrain: whether pair {pair.name} version {pair.version} reads forecasts "
                f"of {name} is unknown: {error}"
            )
            continue
        views: Mapping[str, Any] = OmegaConf.select(config, "features.views") or {}
        reading = [view for view, node in views.items() if node.get("forecasts_of") == name]
        if reading:
            readers.append(
                {
                    "name": pair.name,
                    "version": pair.version,
                    "aliases": list(pair.aliases),
                    "views": reading,
                }
            )
    return readers


def reader_lines(readers: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Say of each pair what has changed for it."""
    return [
        f"monitor.retrain: pair {one['name']} version {one['version']} "
        f"({', '.join(one['aliases'])}) reads forecasts of {name} in {', '.join(one['views'])}, "
        "and was trained on those of earlier pairs; train it again"
        for one in readers
    ]
