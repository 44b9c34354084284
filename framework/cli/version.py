"""``--version``: the versions of the core and of the installed plugins."""

from __future__ import annotations

from importlib import metadata

from framework.config.origins import CORE
from framework.interfaces.plugin import ENTRY_POINTS


def version_text() -> str:
    """Write one line for each distribution, the core first, then the plugins by name."""
    plugins = {
        entry.dist.name: entry.dist.version
        for entry in metadata.entry_points(group=ENTRY_POINTS)
        if entry.dist is not None
    }
    lines = [f"{CORE} {metadata.version(CORE)}"]
    return "\n".join([*lines, *(f"{name} {plugins[name]}" for name in sorted(plugins))])
