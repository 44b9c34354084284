from pathlib import Path

from pydantic import PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class DriftOptions(Options):
    """``window``: newest steps of each series. ``limit``: the shift that is worth a warning."""

    window: PositiveInt = 28
    limit: float = 0.5


class NotesOptions(Options):
    """``file``: one line is added for each run that ends."""

    file: Path = Path("${paths.state}/notes.txt")


@hookimpl
def components() -> list[Component]:
    run, notes = "framework_shift.drift:drift", "framework_shift.notes:Notes"
    summary = "how far the targets of the newest steps are from those before"
    return [
        Component("run", "drift", run, DriftOptions, summary),
        Component("extension", "notes", notes, NotesOptions, "a line for each run"),
    ]
