"""The pair that will be served, as the supervisor tells it to the process whose copies are the
workers. That process imports what every pair needs while the supervisor looks the pair up.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from framework.errors import FrameworkError
from framework.files import atomic_write
from framework.plugins.components import rebuild

#: In the folder of the workers: the order, and the process that gives it.
_NAME, _SUPERVISOR = "served_pair.json", "supervisor"


def begin(folder: Path) -> None:
    """Say that this process will tell. Call before the other process starts.

    Args:
        folder: The folder of the workers.
    """
    (folder / _SUPERVISOR).write_text(str(os.getpid()))


def tell(folder: Path, modules: Sequence[str], config: str) -> None:
    """Say what is to be done before workers are copied.

    Args:
        folder: The folder of the workers.
        modules: What the pair imports.
        config: The composed configuration as text, which refers to secrets and holds none; empty
            for none.
    """
    with atomic_write(folder / _NAME) as file:
        file.write(json.dumps({"modules": [*modules], "config": config}).encode())


def wait_and_prepare(folder: Path) -> None:
    """Wait until it is told, then import and make the components of the configuration, which a
    copy has at hand. What fails here fails again in a worker, which says so.

    Args:
        folder: The folder of the workers.
    """
    path = folder / _NAME
    while not path.exists():
        if not _is_awaited(folder):
            sys.exit()
        time.sleep(0.01)
    order = json.loads(path.read_bytes())
    for module in order["modules"]:
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    if order["config"]:
        try:
            rebuild(order["config"])
        except FrameworkError:
            return


def _is_awaited(folder: Path) -> bool:
    """Say whether the supervisor will tell: it removes the folder when it refuses the pair, and is
    no longer the parent when it is gone.
    """
    try:
        return (folder / _SUPERVISOR).read_text() == str(os.getppid())
    except FileNotFoundError:
        return False
