"""``run=prune``: remove the pairs that the registry's retention does not keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.interfaces.registry import Registry
from framework.plugins.run import Run


def prune(run: Run) -> dict[str, Any]:
    registry: Registry = run.make("registry")
    removed = registry.prune(run.config.name)
    for pair in removed:
        run.say(f"prune: removed version {pair.version} of '{pair.name}' ({pair.created})")
    return {
        "removed": [asdict(pair) for pair in removed],
        "kept": [pair.version for pair in registry.pairs(run.config.name)],
    }
