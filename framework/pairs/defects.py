"""Names the component that an exception comes from: class, plugin, what it was doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import TracebackType

from framework.data.arrays import Objects
from framework.errors import ComponentError, FrameworkError, one_line
from framework.interfaces.plugin import ENTRY_POINTS


@contextmanager
def named(doing: str, *components: object) -> Iterator[None]:
    """Turn an exception of a component's code into one line that names the component.

    Args:
        doing: What is asked of it, such as ``fit on 3 series``.
        components: Those that take part. The one whose method the traceback reached last is named,
            or else the first.

    Raises:
        ComponentError: Anything but a FrameworkError was raised.
    """
    try:
        yield
    except FrameworkError:
        raise
    except Exception as error:
        guilty = _guilty(error.__traceback__, components)
        kind = type(guilty)
        raise ComponentError(
            f"{kind.__module__}:{kind.__qualname__}{_plugin(kind)}: {doing}: "
            f"{type(error).__name__}: {one_line(error)}; HYDRA_FULL_ERROR=1 shows where."
        ) from error


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
