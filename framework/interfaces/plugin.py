"""What a plugin offers. Light: an entry module imports this and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pluggy

from framework.options import Options

hookimpl = pluggy.HookimplMarker("framework")


Kind = Literal[
    "source", "retrieval", "preprocessor", "model", "registry", "serving", "tuner", "compute", "run"
]


@dataclass(frozen=True, slots=True)
class Component:
    """One offer: ``kind=name`` in a composition selects ``load`` ("package.module:Class") with
    ``options``.

    The class implements the interface of its kind; a ``run`` is a function ``(Run) -> dict``
    instead and has no options. ``takes``: the keys of the configuration that a run uses and most
    others do not, ``predict`` for all of ``predict.*``. A key that some run takes is refused on the
    command line of a run that does not; null takes whatever is given.
    """

    kind: Kind
    name: str
    load: str
    options: type[Options] = Options
    summary: str = ""
    takes: tuple[str, ...] | None = None


ENTRY_POINTS = "framework"


KINDS: tuple[str, ...] = get_args(Kind)
