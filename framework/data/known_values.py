"""The categories that a pair was trained on, and how a value in another spelling is matched with
them.

Exact text comes first. Otherwise it is the one known value that is the same boolean or the same
number: ``2.0`` is a known ``2``, ``true`` a known ``True`` or ``yes``. Where two known values are
alike in that sense, neither is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Objects, Times
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.scratch import blocks
from framework.data.vocabulary import OK

if TYPE_CHECKING:
    from framework.data.panel import Panel

#: A column with more distinct values is not listed: nothing in it counts as unseen.
MOST_VALUES = 10_000
#: No number that anybody writes as a category is longer.
_LONGEST = 50
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_TRUE, _FALSE = {"true", "t", "yes", "y", "on"}, {"false", "f", "no", "n", "off"}

_Alike = Decimal | bool


def known_values(panel: Panel) -> dict[str, tuple[str, ...] | None]:
    """Return the sorted distinct values of each category column, None where there are more than
    MOST_VALUES.
    """
    values: dict[str, tuple[str, ...] | None] = {}
    for i in range(len(panel.entity_keys), len(panel.static_names)):
        distinct = _distinct(panel, i)
        is_list = len(distinct) <= MOST_VALUES
        values[panel.static_names[i]] = tuple(sorted(distinct)) if is_list else None
    return values


def _distinct(panel: Panel, column: int) -> set[str]:
    """Return the distinct texts of a column, without null."""
    distinct: set[str] = set()
    for rows in blocks(len(panel)):
        distinct |= set(panel.static[rows, column].tolist()) - {None}
    return distinct


def without_list(schema: Schema) -> list[str]:
    """Return one line for each category column of a pair that had too many values to be listed."""
    columns = [column for column, values in schema.categories.items() if values is None]
    return [
        f"category '{column}' has more than {MOST_VALUES:,} values: those not seen in "
        "training are not flagged"
        for column in columns
    ]


class KnownValues:
    """Matches the categories of windows with those of a schema."""

    def __init__(self, schema: Schema) -> None:
        self._columns = [
            (i, name, _Column(values, name in schema.nullable))
            for i, name in enumerate(schema.static)
            if (values := schema.categories.get(name)) is not None
        ]

    def match(self, context: Context) -> Context:
        """Return the windows with their categories as training spelled them.

        A value that training did not see stays, its window stays ``ok``, ``detail`` names it and
        ``Context.unseen`` counts it. What was matched before is returned as it is.
        """
        if context.unseen is not None:
            return context
        static, detail, unseen = context.static, list(context.detail), Counter[str]()
        for i, name, column in self._columns:
            for j, text in enumerate(static[:, i].tolist()):
                if column.knows(text) or context.status[j] != OK:
                    continue
                known = None if text is None else column.same_as(text)
                if known is not None:
                    static = static.copy() if static is context.static else static
                    static[j, i] = known
                    continue
                unseen[name] += 1
                message = (
                    f"{name}: {'null' if text is None else repr(text[:100])} was not seen in "
                    "training"
                )
                detail[j] = message if detail[j] is None else f"{detail[j]}; {message}"
        return replace(context, static=static, detail=detail, unseen=dict(unseen))


def unseen_lines(unseen: Mapping[str, int], windows: int) -> list[str]:
    """Return a warning for each column of which values were not seen in training."""
    return [
        f"category '{column}': {count:,} of {windows:,} windows have a value that was not "
        "seen in training"
        for column, count in sorted(unseen.items())
    ]


def unseen_in_folds(panel: Panel, entities: Objects, origins: Times, cutoffs: Times) -> list[str]:
    """Return a warning for each column of which backtest windows have values that no earlier row
    had.

    Args:
        panel: What was backtested.
        entities: ``[N, E]``: the series of each window.
        origins: ``[N]``: its origin.
        cutoffs: ``[N]``: the last step that its fold was fitted on.
    """
    import pandas as pd

    rows = panel.rows_at(panel.series_of(entities), origins)
    cutoffs, rows = cutoffs[rows >= 0], rows[rows >= 0]
    lines = []
    for i in range(len(panel.entity_keys), len(panel.static_names)):
        first: dict[str | None, np.datetime64] = {}
        for piece in blocks(len(panel)):
            texts = panel.static[piece, i]
            codes = pd.factorize(texts, use_na_sentinel=False)[0]
            places = np.unique(codes, return_index=True)[1]
            times = np.full(len(places), panel.times.max())
            np.minimum.at(times, codes, panel.times[piece])
            for text, time in zip(texts[places], times, strict=True):
                first[text] = min(first.get(text, time), time)
        begins = np.array([first[text] for text in panel.static[rows, i]], dtype="M8[us]")
        unseen = int((begins > cutoffs).sum())
        if unseen:
            lines.append(
                f"category '{panel.static_names[i]}': {unseen:,} of {len(rows):,} windows "
                "of the backtest "
                "have a value that the fit of their fold had not seen"
            )
    return lines


class _Column:
    def __init__(self, values: Iterable[str], nullable: bool) -> None:
        self._values = frozenset(values)
        self._nullable = nullable
        self._numbers = _unique({value: _number(value) for value in self._values})
        truths = {value: _truth(value) for value in self._values}
        boolean = None not in truths.values() and (
            not self._numbers
            or self._values == {"0", "1"}
            or len(self._numbers) < len(self._values)
        )
        self._truths = _unique(truths) if boolean else {}

    def knows(self, text: str | None) -> bool:
        return self._nullable if text is None else text in self._values

    def same_as(self, text: str) -> str | None:
        number = _number(text)
        if number is not None and number in self._numbers:
            return self._numbers[number]
        truth = _truth(text) if self._truths else None
        return None if truth is None else self._truths.get(truth)


def _unique(alike: Mapping[str, _Alike | None]) -> dict[_Alike, str]:
    """By what they are, the values that no other one is, too."""
    counts = Counter(alike.values())
    return {what: value for value, what in alike.items() if what is not None and counts[what] == 1}


def _number(text: str) -> Decimal | None:
    return Decimal(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else None


def _truth(text: str) -> bool | None:
    word = text.casefold()
    if word in _TRUE or text == "1":
        return True
    return False if word in _FALSE or text == "0" else None
