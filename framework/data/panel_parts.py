"""A panel put together from the panels of its series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from framework.data.panel import Panel
from framework.data.scratch import Array, Pieces, Scratch


def joined_panel(parts: Iterable[Panel], scratch: Scratch) -> Panel | None:
    """Put panels of different series together.

    Args:
        parts: The panels, in the order of their series, without vintages. What one has, each has.
        scratch: Where the arrays of the whole are kept.

    Returns:
        The panel; None of no part.
    """
    pieces: dict[str, Pieces] = {}
    lengths, names, on_time = [], None, set[str]()
    for part in parts:
        arrays = _arrays(part)
        if names is None:
            names = replace(part.select(np.zeros(len(part), dtype=bool)), scratch=scratch)
            pieces = {name: Pieces(scratch) for name in arrays}
            on_time = set(part.held)
        for name, array in arrays.items():
            pieces[name].add(array)
        lengths.append(np.diff(part.offsets))
        on_time &= {view for view, times in part.held.items() if times is part.times}
    if names is None:
        return None
    return _whole(names, np.concatenate(lengths), pieces, on_time)


def _arrays(part: Panel) -> dict[str, Array]:
    """List the arrays that grow with the rows or the series."""
    arrays: dict[str, Array] = {
        name: getattr(part, name) for name in ("entities", "times", "past", "known", "static")
    }
    arrays |= {f"held {view}": times for view, times in part.held.items()}
    if part.ahead is not None:
        arrays["ahead"] = part.ahead
    if part.ageless is not None:
        arrays |= {"ageless past": part.ageless.past, "ageless static": part.ageless.static}
    return arrays


def _whole(names: Panel, lengths: Array, pieces: dict[str, Pieces], on_time: set[str]) -> Panel:
    """Join the pieces. ``names``: a panel without rows. ``on_time``: the views whose row of each
    step is of that very step.
    """
    times = pieces["times"].whole()
    row_times = {
        view: times if view in on_time else pieces[f"held {view}"].whole() for view in names.held
    }
    panel = replace(
        names,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        entities=pieces["entities"].whole(),
        times=times,
        past=pieces["past"].whole(),
        known=pieces["known"].whole(),
        static=pieces["static"].whole(),
        held=row_times,
        ahead=pieces["ahead"].whole() if "ahead" in pieces else None,
        ageless=None,
    )
    if "ageless past" not in pieces:
        return panel
    past, static = pieces["ageless past"].whole(), pieces["ageless static"].whole()
    return replace(panel, ageless=replace(panel, past=past, static=static))
