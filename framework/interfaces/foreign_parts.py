"""Parts of a library that the library does not promise to keep."""

from __future__ import annotations

import importlib
import logging
from typing import Any

log = logging.getLogger(__name__)


def find_part(module: str, name: str = "") -> Any:
    """Look a part up by name, so that another version of its library may lack it.

    Args:
        module: A module, such as ``ray._private.node``.
        name: What is wanted of it, such as ``Node.start_agent``; nothing for the module itself.

    Returns:
        The part; None, and a line of the log, where the installed version has none.
    """
    try:
        part: Any = importlib.import_module(module)
        for attribute in name.split(".") if name else ():
            part = getattr(part, attribute)
    except (ImportError, AttributeError):
        path = ".".join(filter(None, (module, name)))
        log.info("The installed %s has no %s.", module.partition(".")[0], path)
        return None
    return part
