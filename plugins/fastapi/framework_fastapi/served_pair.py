"""The pair that will be served, as the supervisor tells it to the process whose copies are the
workers. That process imports what every pair needs while the supervisor looks the pair up.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from framework.errors import FrameworkError
from framework.files import atomic_write
from framework.plugins.components import rebuild

#: In the folder of the workers.
_NAME = "served_pair.json"
#: Seconds. A supervisor that needs longer starts this process again.
_PATIENCE = 60


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
    path, end = folder / _NAME, time.monotonic() + _PATIENCE
    while not path.exists():
        if not folder.exists() or time.monotonic() > end:  # the supervisor has refused, or is gone
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
