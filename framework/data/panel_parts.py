"""A panel put together from the panels of its series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from framework.data.panel import Panel
from framework.data.scratch import Array, Pieces, Scratch
from framework.data.texts import TextCoder, TextRows

#: What files hold as numbers.
_TEXTS = {"static", "ageless static"}


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
    coders: dict[str, TextCoder] = {}
    for part in parts:
        arrays = _arrays(part)
        if scratch.is_mapped:
            for name in _TEXTS & arrays.keys():
                coder = coders.setdefault(name, TextCoder(arrays[name].shape[1]))
                arrays[name] = coder.codes(arrays[name])
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
    return _whole(names, np.concatenate(lengths), pieces, coders, on_time)


def _arrays(part: Panel) -> dict[str, Array]:
    """List the arrays that grow with the rows or the series."""
    arrays: dict[str, Array] = {
        name: getattr(part, name) for name in ("entities", "times", "past", "known")
    }
    arrays["static"] = np.asarray(part.static)
    arrays |= {f"held {view}": times for view, times in part.held.items()}
    if part.ahead is not None:
        arrays["ahead"] = part.ahead
    if part.ageless is not None:
        static = np.asarray(part.ageless.static)
        arrays |= {"ageless past": part.ageless.past, "ageless static": static}
    return arrays


def _whole(
    names: Panel,
    lengths: Array,
    pieces: dict[str, Pieces],
    coders: dict[str, TextCoder],
    on_time: set[str],
) -> Panel:
    """Join the pieces. ``names``: a panel without rows. ``coders``: of texts that are numbers in
    the pieces. ``on_time``: the views whose row of each step is of that very step.
    """

    def texts(name: str) -> TextRows:
        whole = pieces[name].whole()
        return coders[name].coded(whole) if name in coders else whole

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
        static=texts("static"),
        held=row_times,
        ahead=pieces["ahead"].whole() if "ahead" in pieces else None,
        ageless=None,
    )
    if "ageless past" not in pieces:
        return panel
    past = pieces["ageless past"].whole()
    return replace(panel, ageless=replace(panel, past=past, static=texts("ageless static")))
