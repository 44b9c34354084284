"""``run=rollback alias=NAME``: back to the pair that the alias pointed at before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from framework.errors import RegistryError
from framework.interfaces.registry import HistoryEntry, Registry
from framework.pairs.loading import load_pair
from framework.plugins.run import Run
from framework.runs.steps.aliases import check_signer, current, move, required_alias
from framework.runs.steps.answered import check_answered


def rollback(run: Run) -> dict[str, Any]:
    """The pair before is proven like any other; ``version=N`` names another one, also one that a
    retired key signed.
    """
    name, alias = run.config.name, required_alias(run)
    registry: Registry = run.make("registry")
    incumbent = current(registry, name, alias)
    if incumbent is None:
        raise RegistryError(
            f"alias '{alias}' of '{name}' points at nothing; run=promote alias={alias} first."
        )
    to = run.config.version or previous_version(registry.history(name, alias), name, alias)
    pair = load_pair(registry, run.plugins, name, str(to))
    check_signer(run, pair.version, pair.retired_key)
    check_answered(run, lambda: pair.config)
    return move(
        run, registry, alias, pair.version, incumbent, run.config.reason or "rollback", None
    )


def previous_version(history: Iterable[HistoryEntry], name: str, alias: str) -> int:
    """The version below the current one on the stack of moves; going back to a version takes what
    came after it off the stack.
    """
    stack: list[int] = []
    for entry in history:
        if entry.action != "move" or entry.after is None:
            continue
        if entry.after in stack:
            del stack[stack.index(entry.after) + 1 :]
        else:
            stack.append(entry.after)
    if len(stack) < 2:
        raise RegistryError(
            f"alias '{alias}' of '{name}' has no earlier pair to go back to; run=history "
            f"alias={alias} lists its moves."
        )
    return stack[-2]
