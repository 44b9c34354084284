"""Moving an alias, for the runs that do."""

from __future__ import annotations

from typing import Any

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import PairVersion, Registry
from framework.plugins.run import Run, tell


def required_alias(run: Run) -> str:
    if run.config.alias is None:
        raise ConfigError(
            f"alias: missing; say which one run={run.config.run} moves, such as alias=production."
        )
    return run.config.alias


def current(registry: Registry, name: str, alias: str) -> PairVersion | None:
    """The pair that the alias points at now, None when there is no such alias."""
    return next((p for p in registry.pairs(name) if alias in p.aliases), None)


def check_signer(run: Run, pair: PairVersion, retired_key: str | None) -> None:
    """Refuse to move an alias to a pair of a signer of old that nobody named.

    Args:
        run: The run.
        pair: Where the alias is to go.
        retired_key: The name of the key that signed it, if that is a retired one.

    Raises:
        RefusedError: It is, and ``version`` is not given.
    """
    if retired_key is not None and run.config.version is None:
        raise RefusedError(
            f"version {pair.version} of '{pair.name}' is signed by the key {retired_key[:12]}, "
            f"which registry.retired lists; name the pair if it is meant: version={pair.version}."
        )


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
    entry = registry.move(
        to.name, alias, to.version, expected=expected, reason=reason, verdict=verdict
    )
    tell(run, "alias_moved", entry=entry)
    run.say(f"{to.name}@{alias}: version {expected or 'none'} -> {to.version}")
    return {
        "pair": {"name": to.name, "version": to.version, "digest": to.digest},
        "alias": alias,
        "previous": expected,
        "verdict": verdict,
    }
