"""The windows of a request to forecast, several requests as one, and windows without a forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import OK
from framework.errors import FrameworkError

#: How often a failed batch is tried again in parts.
MAX_ATTEMPTS = 128

Index = npt.NDArray[np.int64]


def ok_windows(context: Context) -> Index | None:
    """The windows that get a forecast; None for all of them."""
    if context.status.count(OK) == len(context):
        return None
    return np.array([i for i, word in enumerate(context.status) if word == OK], dtype=np.int64)


def joined(contexts: Sequence[Context]) -> Context:
    """The windows of several requests, in order: what the last two stages need of them."""

    def of(name: str) -> Any:
        return np.concatenate([getattr(context, name) for context in contexts])

    size = sum(len(context) for context in contexts)
    return Context(of("origins"), of("past"), of("known"), of("static"), [OK] * size, [None] * size)


def shape_of(schema: Schema) -> tuple[int, int, int]:
    """``[H, T, 1 + Q]``."""
    return schema.horizon, len(schema.targets), 1 + len(schema.quantiles)


def attempt(
    context: Context, schema: Schema, work: Callable[[Context], Float64]
) -> tuple[Float64, dict[int, str]]:
    """``[n, H, T, 1 + Q]`` by ``work``, NaN where it failed, and why, by window.

    What failed is halved until the windows at fault are alone, or until it is plain that they are
    many.
    """
    if not len(context):
        return np.empty((0, *shape_of(schema))), {}
    try:
        return work(context), {}
    except FrameworkError as first:
        parts: list[tuple[Index, FrameworkError]] = [(np.arange(len(context)), first)]
    values = np.full((len(context), *shape_of(schema)), np.nan)
    failed: dict[int, str] = {}
    attempts = 0
    while parts:
        part, error = parts.pop()
        if len(part) == 1 or attempts >= MAX_ATTEMPTS:
            failed |= dict.fromkeys(part.tolist(), str(error))
            continue
        for half in np.array_split(part, 2):
            attempts += 1
            try:
                values[half] = work(context.take(half))
            except FrameworkError as second_error:
                parts.append((half, second_error))
    return values, failed
