"""Runs a contract suite in this process, without pytest, and says which of its checks fail: for
the tests of the suites themselves, and for suites of one's own.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

#: Gives the value of a fixture to one check: takes a folder of the check's own.
Fixture = Callable[[Path], Any]


def failing_checks(
    suite: Any,
    directory: Path,
    fixtures: Mapping[str, Fixture] | None = None,
    only: Collection[str] = (),
) -> dict[str, str]:
    """Run every check of a suite whose fixtures are given.

    Args:
        suite: An instance of a subclass of a contract suite.
        directory: An empty folder. Each check has one of its own in it.
        fixtures: By the name of a parameter; ``tmp_path`` is always there. A check with another
            parameter is not run.
        only: The names of the checks that are run; all of them by default.

    Returns:
        The first line of the message of the first failure by the name of the check, of those that
        fail. One that is no failed check, but an exception of the component, begins with its class.
    """
    values: dict[str, Fixture] = {"tmp_path": lambda folder: folder, **(fixtures or {})}
    failures = {}
    for name, check in inspect.getmembers(suite, inspect.ismethod):
        if not name.startswith("test_") or (only and name not in only):
            continue
        for number, case in enumerate(_cases(check)):
            wanted_names = [p for p in inspect.signature(check).parameters if p not in case]
            if not {*wanted_names} <= {*values}:
                continue
            folder = directory / f"{name[:60]}-{number}"
            folder.mkdir(parents=True)
            try:
                check(**case, **{each: values[each](folder) for each in wanted_names})
            except AssertionError as error:
                failures[name] = str(error).partition("\n")[0]
            except Exception as error:  # noqa: BLE001  of the component: this is what is told
                failures[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
            if name in failures:
                break
    return failures


def _cases(check: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """Give the parameters of each case that the marks of a check say; one without any for none."""
    axes: list[list[dict[str, Any]]] = []
    for mark in getattr(check, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        names = mark.args[0]
        names = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
        axis = []
        for entry in mark.args[1]:
            parts = getattr(entry, "values", entry if len(names) > 1 else (entry,))
            axis.append(dict(zip(names, parts, strict=True)))
        axes.append(axis)
    for combination in itertools.product(*axes):
        yield {name: value for part in combination for name, value in part.items()}
