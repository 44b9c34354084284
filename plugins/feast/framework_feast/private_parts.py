"""The only place that reaches parts of Feast that Feast does not promise to keep.

Tested with Feast :data:`TESTED`. Where a Feast has no such part, it is imported as it comes, which
takes seconds longer and gives the same results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.specifiers import SpecifierSet

#: The versions of Feast with which these parts were tested.
TESTED = SpecifierSet(">=0.67,<0.68")
_WRAPPER = "feast.torch_wrapper"
_VERSIONS = "_versioned_read_supported"


def find_wrapper() -> Path | None:
    """Return the file with which Feast loads torch; None where this Feast has no such file."""
    feast = find_spec("feast")
    folders = [] if feast is None else feast.submodule_search_locations or []
    files = (Path(folder) / "torch_wrapper.py" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def find_decorator() -> Any:
    """Return typeguard's ``typechecked``, which Feast applies; None where there is none."""
    try:
        return import_module("typeguard").typechecked
    except (ImportError, AttributeError):
        return None


@contextmanager
def light_import() -> Iterator[None]:
    """Import Feast inside without what takes most of its import's time.

    Where torch is installed Feast loads it for its vector search. Here torch is loaded when Feast
    asks for it. typeguard takes apart and compiles again every annotated class of Feast; the
    plugin's own options have checked what it hands to Feast. Both are five sixths of the time. A
    process that has imported Feast itself keeps it as it is.
    """
    if "feast" in sys.modules:
        yield
        return
    wrapper = find_wrapper()
    if wrapper is not None:
        sys.modules[_WRAPPER] = _late_wrapper(wrapper)
    decorator = find_decorator()
    if decorator is None:
        yield
        return
    typeguard: Any = import_module("typeguard")
    typeguard.typechecked = _leave_unchecked
    try:
        yield
    finally:
        typeguard.typechecked = decorator


def ask_for_no_versions(online_store: Any) -> None:
    """Let Feast's online store answer without looking whether it can read versions of a view.

    To know it Feast imports every online store that it has, DynamoDB's libraries too. The plugin
    asks for no version.
    """
    if hasattr(type(online_store), _VERSIONS):
        setattr(online_store, _VERSIONS, True)


def _late_wrapper(file: Path) -> ModuleType:
    """Return a module in the place of Feast's wrapper that loads torch when it is asked for it.

    Everything else that is asked of it comes from Feast's own file.
    """

    def loaded(name: str) -> Any:
        spec = spec_from_file_location(_WRAPPER, file)
        if spec is None or spec.loader is None or name.startswith("__"):
            raise AttributeError(name)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, name)

    wrapper = ModuleType(_WRAPPER, "Loads torch when Feast first needs it.")
    vars(wrapper).update(get_torch=lambda: import_module("torch"), __getattr__=loaded)
    return wrapper


def _leave_unchecked(target: Any = None, **_: Any) -> Any:
    """Return the class or function as it is, in the place of ``typeguard.typechecked``."""
    if target is not None:
        return target
    same: Callable[[Any], Any] = lambda decorated: decorated  # noqa: E731  a decorator with arguments
    return same
