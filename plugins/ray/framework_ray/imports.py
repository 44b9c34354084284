"""Large imports without the garbage collector, which would look through all that was imported,
again and again, and at the end.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from ever looking through modules that are imported inside."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def import_all(modules: Sequence[str]) -> None:
    """Unless all are imported already."""
    if any(module not in sys.modules for module in modules):
        with uncollected():
            for module in modules:
                importlib.import_module(module)


@contextmanager
def meanwhile(modules: Sequence[str]) -> Iterator[None]:
    """A thread imports them while the block runs; they are there after it. What cannot be imported
    says so when it is used.
    """
    imports = threading.Thread(target=import_all, args=(modules,), daemon=True)
    imports.start()
    yield
    imports.join()
