"""``run=upgrade``: what an earlier version wrote is brought into the form of this one."""

from __future__ import annotations

from typing import Any

from framework.interfaces.registry import Registry
from framework.plugins.run import Run


def upgrade(run: Run) -> dict[str, Any]:
    """Say what was changed; a second time changes nothing."""
    registry: Registry = run.make("registry")
    changes = registry.upgrade()
    for change in changes:
        run.say(f"upgrade: {change}")
    return {"changes": changes}
