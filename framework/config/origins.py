"""Plugins as installed: where each comes from, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from framework.interfaces.plugin import Component

#: The distribution of what the core offers itself.
CORE = "framework-core"
#: Seconds from which on what a plugin does at every start is said to be slow.
SLOW = 1.0


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that a plugin comes from.

    Args:
        plugin: The name of its entry point, or of its module where it has none.
        distribution: What is installed and uninstalled, the file of a project's own plugin, or
            empty.
        installed: The metadata of the distribution.
        api_version: The version of the interfaces that it was written for.
    """

    plugin: str
    distribution: str = ""
    installed: metadata.Distribution | None = None
    api_version: int = 1

    @property
    def version(self) -> str | None:
        """The version of the distribution, None where no distribution is."""
        return None if self.installed is None else self.installed.version

    @property
    def qualifier(self) -> str:
        """Give the word before the colon of ``model=DISTRIBUTION:NAME``."""
        return self.distribution if self.installed is not None else self.plugin

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.distribution, self.version)))
        return f"{self.plugin} ({where})" if where else self.plugin


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a plugin, or of one of its components.

    Args:
        origin: The plugin.
        status: ``broken`` ones are left out, ``blocked`` ones too because the configuration says
            so, ``slow`` ones are used.
        reason: What is wrong, without a full stop.
        component: The component that is left out, None for the whole plugin.
    """

    origin: Origin
    status: Literal["broken", "blocked", "slow"]
    reason: str
    component: Component | None = None

    def __str__(self) -> str:
        """Write one line: what, which, what next."""
        block = f"plugins.block=[{self.origin.plugin}]"
        if self.status == "blocked":
            return f"plugin {self.origin} is blocked by plugins.block."
        if self.status == "slow":
            return f"plugin {self.origin}: {self.reason}; {block} starts without it."
        return (
            f"plugin {self.origin}: {self.reason}. It is left out; mend or uninstall it, or block "
            f"it: {block}."
        )
