"""Fingerprints of data: short texts that are equal for equal data and say where data differ."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from framework.data.arrays import Objects
from framework.data.panel import Panel
from framework.data.scratch import blocks


def panel_fingerprint(panel: Panel) -> dict[str, str]:
    """``{"2013-02": sha256}``: one for each calendar month (UTC), over keys, times and every value
    of its rows.
    """
    pieces = list(blocks(len(panel)))
    months = np.empty(len(panel), dtype=np.int32)  # since 1970
    for rows in pieces:
        months[rows] = panel.times[rows].astype("M8[M]").astype(np.int64)
    numbers = np.unique(np.concatenate([months[:0], *(np.unique(months[rows]) for rows in pieces)]))
    prints = {}
    for month in numbers:
        digest = hashlib.sha256()
        picks = [np.flatnonzero(months[rows] == month) + rows.start for rows in pieces]
        picks = [rows for rows in picks if len(rows)]
        for number, rows in enumerate(picks):
            digest.update(b"\x1f" * bool(number) + _texts(panel.static[rows]).encode())
        for values in (panel.times, panel.past, panel.known):
            for rows in picks:
                digest.update(np.ascontiguousarray(values[rows]).tobytes())
        prints[str(month.astype("M8[M]"))] = digest.hexdigest()
    return prints


def _texts(static: Objects) -> str:
    """The texts of rows, each row's joined; made once for rows that follow each other and are
    alike, as those of a series are.
    """
    begins = np.ones(len(static), dtype=bool)
    begins[1:] = (static[1:] != static[:-1]).any(axis=1)
    starts = np.flatnonzero(begins)
    counts = np.diff(np.append(starts, len(static)))
    lines = []
    for values, count in zip(static[starts].tolist(), counts.tolist(), strict=True):
        line = "\x1e".join(value or "" for value in values)  # a null as recorded pairs have it
        lines.append("\x1f".join([line] * count))
    return "\x1f".join(lines)


def ahead_fingerprint(panel: Panel) -> str:
    """Of what is stored of the steps after the panel's rows, and of which row of each view
    describes which step.
    """
    digest = hashlib.sha256()
    for values in (panel.ahead, *(panel.held[view] for view in sorted(panel.held))):
        digest.update(b"-" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def first_difference(expected: dict[str, str], actual: dict[str, str]) -> str | None:
    """``"x was changed"``, ``"x is missing"`` or ``"x is new"`` for the first key in which two
    fingerprints differ.
    """
    for key in sorted({*expected, *actual}):
        if expected.get(key) != actual.get(key):
            if key not in actual:
                return f"{key} is missing"
            return f"{key} {'was changed' if key in expected else 'is new'}"
    return None


def panel_digest(panel: Panel) -> str:
    """Compute one short text that changes with every row of a panel.

    Args:
        panel: The panel.

    Returns:
        32 hexadecimal digits.
    """
    prints = json.dumps(panel_fingerprint(panel), sort_keys=True)
    return hashlib.sha256(prints.encode()).hexdigest()[:32]
