"""``run=promote alias=NAME``: point an alias at a pair that is proven and passes its gates."""

from __future__ import annotations

import json
from typing import Any

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import Registry
from framework.interfaces.values import PairVersion
from framework.loading import load_pair
from framework.run import Run


def promote(run: Run) -> dict[str, Any]:
    """The pair is ``version=N``, by default the newest."""
    config = run.config
    alias = required_alias(run)
    registry: Registry = run.make("registry")
    candidate = registry.resolve(config.name, str(config.version or "latest"))
    incumbent = current(registry, config.name, alias)
    verdict: dict[str, Any] = {"passed": True, "candidate": candidate.version, "incumbent": incumbent and incumbent.version, "checks": []}
    try:
        load_pair(registry, run.plugins, config.name, str(candidate.version))
    except RefusedError as error:
        verdict |= {"passed": False, "checks": [{"check": "proof", "passed": False, "detail": str(error)}]}
        registry.refuse(config.name, alias, candidate.version, str(error), verdict)
        raise RefusedError(str(error), verdict) from error
    verdict["checks"].append({"check": "proof", "passed": True, "detail": "every byte proven, golden batch replayed"})
    path = run.directory / "verdict.json"
    path.write_text(json.dumps(verdict, indent=1))
    run.record.artifacts.append(path)
    return move(run, registry, alias, candidate, incumbent, config.reason, verdict)


def required_alias(run: Run) -> str:
    if run.config.alias is None:
        raise ConfigError(f"alias: missing; say which one run={run.config.run} moves, such as alias=production.")
    return run.config.alias


def current(registry: Registry, name: str, alias: str) -> PairVersion | None:
    """The pair that the alias points at now, None when there is no such alias."""
    return next((p for p in registry.pairs(name) if alias in p.aliases), None)


def move(
    run: Run,
    registry: Registry,
    alias: str,
    to: PairVersion,
    incumbent: PairVersion | None,
    reason: str | None,
    verdict: dict[str, Any] | None,
) -> dict[str, Any]:
    """Move, tell the plugins, and say what happened."""
    expected = incumbent.version if incumbent else None
    entry = registry.move(to.name, alias, to.version, expected=expected, reason=reason, verdict=verdict)
    run.plugins.hook.alias_moved(run=run, entry=entry)
    run.say(f"{to.name}@{alias}: version {expected or 'none'} -> {to.version}")
    return {
        "pair": {"name": to.name, "version": to.version, "digest": to.digest},
        "alias": alias,
        "previous": expected,
        "verdict": verdict,
    }
