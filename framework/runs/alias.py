"""``run=alias alias=NAME version=N``: point any alias at a proven pair, without a gate. For staging
and the like.
"""

from __future__ import annotations

from typing import Any

from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.pairs.loading import load_pair
from framework.plugins.run import Run
from framework.runs.steps.aliases import current, move, required_alias


def alias(run: Run) -> dict[str, Any]:
    config, name = run.config, required_alias(run)
    if config.version is None:
        raise ConfigError(
            f"version: missing; say which pair '{name}' shall mean, such as version=3 "
            "(run=pairs lists them)."
        )
    registry: Registry = run.make("registry")
    loaded = load_pair(registry, run.plugins, config.name, str(config.version))
    return move(
        run,
        registry,
        name,
        loaded.version,
        current(registry, config.name, name),
        config.reason,
        None,
    )
