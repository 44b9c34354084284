"""Names the component that an exception comes from: class, plugin, what it was doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from time import perf_counter
from types import TracebackType

import numpy as np

from framework.data.arrays import Objects, Rows
from framework.errors import ComponentError, DataError, FrameworkError, one_line
from framework.interfaces.plugin import ENTRY_POINTS
from framework.models.gpu_memory import is_full

#: Seconds after which a failure is not looked into by trying again on fewer series.
PATIENCE = 60.0


@contextmanager
def named(
    doing: str,
    *components: object,
    entities: Objects | None = None,
    attempt: Callable[[Rows], object] | None = None,
) -> Iterator[None]:
    """Turn an exception of a component's code into one line that names the component, and the
    series where one alone fails.

    Args:
        doing: What is asked of it, such as ``fit on 3 series``.
        components: Those that take part. The one whose method the traceback reached last is named,
            or else the first.
        entities: Whose rows they are, ``[n, E]``.
        attempt: Does it with some of ``entities`` alone, by their numbers. It changes nothing.

    Raises:
        ComponentError: Anything but a FrameworkError was raised.
        DataError: The component raised one, which now names the series.
        FrameworkError: The memory of a GPU is full.
    """
    started = perf_counter()

    def alone(error: Exception) -> str:
        if entities is None or attempt is None or perf_counter() - started > PATIENCE:
            return ""
        number = failing_alone(attempt, len(entities), error)
        return "" if number is None else series_text(entities[number : number + 1])

    try:
        yield
    except DataError as error:
        series = alone(error)
        if not series:
            raise
        raise DataError(f"{series}: {error}") from error
    except FrameworkError:
        raise
    except Exception as error:
        guilty = _guilty(error.__traceback__, components)
        kind = type(guilty)
        if is_full(error):
            raise FrameworkError(
                f"{kind.__module__}:{kind.__qualname__}{_plugin(kind)}: {doing}: the memory of the "
                f"GPU is full ({one_line(error, 200)}); let it learn from less at once by its "
                "options, free the GPU, or use the CPU."
            ) from error
        series = alone(error)
        raise ComponentError(
            f"{kind.__module__}:{kind.__qualname__}{_plugin(kind)}: {doing}"
            f"{f', and on {series} alone' if series else ''}: "
            f"{type(error).__name__}: {one_line(error)}; HYDRA_FULL_ERROR=1 shows where."
        ) from error


def failing_alone(attempt: Callable[[Rows], object], count: int, error: Exception) -> int | None:
    """Find the first that fails by itself as all of them did together, where others do not.

    It tries one half, then a half of the half that fails. All tries together are no more than two
    more tries with all.

    Args:
        attempt: Does with some of them, by their numbers, what failed.
        count: How many there are.
        error: How they failed together.

    Returns:
        Its number; None where there is one only, where none fails alone and where all do.
    """

    def fails(numbers: Rows) -> bool:
        try:
            attempt(numbers)
        except Exception as other:  # noqa: BLE001 - the code of a component raises anything
            return type(other) is type(error)
        return False

    everything: Rows = np.arange(count)
    numbers, passed = everything, False
    while len(numbers) > 1:
        half = len(numbers) // 2
        if fails(numbers[:half]):
            numbers = numbers[:half]
        else:
            numbers, passed = numbers[half:], True
    if count < 2 or not fails(numbers):
        return None
    return int(numbers[0]) if passed or not fails(np.delete(everything, numbers)) else None


def series_text(entities: Objects) -> str:
    """Name a single series, count several."""
    if len(entities) == 1:
        return f"series {', '.join(map(str, entities[0])) or '(the only one)'}"
    return f"{len(entities):,} series"


def _guilty(traceback: TracebackType | None, components: tuple[object, ...]) -> object:
    guilty = components[0]
    by_id = {id(component): component for component in components}
    while traceback is not None:
        guilty = by_id.get(id(traceback.tb_frame.f_locals.get("self")), guilty)
        traceback = traceback.tb_next
    return guilty


def _plugin(kind: type) -> str:
    """Name the plugin that a class belongs to, with its distribution; empty where there is none."""
    package = kind.__module__.partition(".")[0]
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.dist is not None and entry.module.partition(".")[0] == package:
            return f" of plugin {entry.name} ({entry.dist.name} {entry.dist.version})"
    return ""
