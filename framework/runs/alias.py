"""``run=alias alias=NAME version=N``: point any alias at a proven pair, without a gate. For staging
and the like.
"""

from __future__ import annotations

from typing import Any

from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.pairs.loading import load_pair
from framework.plugins.run import Run
from framework.runs.steps.aliases import check_signer, current, move, required_alias
from framework.runs.steps.answered import check_answered
from framework.runs.steps.names import name_of


def alias(run: Run) -> dict[str, Any]:
    target = required_alias(run)
    registry: Registry = run.make("registry")
    name = name_of(run, registry)
    pair = load_pair(registry, run.plugins, name, _version(run, registry, name, target))
    check_signer(run, pair.version, pair.retired_key)
    check_answered(run, lambda: pair.config)
    incumbent = current(registry, name, target)
    return move(run, registry, target, pair.version, incumbent, run.config.reason, None)


def _version(run: Run, registry: Registry, name: str, alias: str) -> str:
    """The version that is given, or the only one that there is."""
    config = run.config
    if config.version is not None:
        return str(config.version)
    versions = sorted(pair.version for pair in registry.pairs(name))
    if len(versions) == 1:
        return str(versions[0])
    newest = (
        f"version={versions[-1]} for the newest of {len(versions)}" if versions else "version=3"
    )
    raise ConfigError(
        f"version: missing; say which pair '{alias}' shall mean, such as {newest} "
        "(run=pairs lists them)."
    )
