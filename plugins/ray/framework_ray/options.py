"""The address of Ray, for every component that uses it. Imports no Ray."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Section
from framework.options import Options


class RayOptions(Options):
    """For every component that uses Ray. ``address``: an existing cluster (``auto``,
    ``HOST:PORT``), null to start one for the run alone.

    ``num_cpus``: of the one that is started, null for all of this machine. ``dashboard``: start it
    too. ``open``: whoever reaches a Ray without a token runs any code in it. So one that is started
    here listens on this machine alone, and a cluster that asks for no token is refused, unless this
    is true.
    """

    address: str | None = None
    num_cpus: PositiveInt | None = None
    dashboard: bool = False
    open: bool = False


#: The section ``ray``: a cluster is named once for all that use it. Each plugin that needs it
#: offers it.
RAY = Section("ray", RayOptions)


def shared(key: str) -> Any:
    """Make a field whose default follows the section ``ray``.

    Args:
        key: The option of :class:`RayOptions`.
    """
    return Field(default=f"${{ray.{key}}}")
