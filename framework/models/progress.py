"""The progress of a fit, said on stderr while it takes long.

A model says after each round or epoch where it is; only some of that is printed. What a fit belongs
to, such as a fold, is said by whoever starts it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from framework.secrets import masked

#: Seconds before the first line of a fit, and between two lines.
FIRST, EACH = 5.0, 15.0


@dataclass(slots=True)
class _Fit:
    """``name``: what is fitted. ``part``: of the fit, such as a target, which ``began`` then.
    ``due``: when the next line is.
    """

    name: str
    part: str = ""
    due: float = field(default_factory=lambda: time.monotonic() + FIRST)
    began: float = field(default_factory=time.monotonic)


_fit: ContextVar[_Fit | None] = ContextVar("fit", default=None)


@contextmanager
def fitting(name: str) -> Iterator[None]:
    """Print the progress of the fits within, when they take longer than seconds.

    A model that fits when it is asked tells of its forecasts.

    Args:
        name: What is fitted, such as ``backtest: fold 2``.

    Yields:
        Nothing.
    """
    token = _fit.set(_Fit(name))
    try:
        yield
    finally:
        _fit.reset(token)


def begin(part: str) -> None:
    """Say which part of the fit begins.

    Args:
        part: Its name, such as ``target sales, quantiles``.
    """
    fit = _fit.get()
    if fit is not None:
        fit.part, fit.began = part, time.monotonic()


def own_part() -> None:
    """Let this thread, in a context of its own, say its part of a fit whose parts are fitted beside
    each other.
    """
    fit = _fit.get()
    if fit is not None:
        _fit.set(replace(fit))


def tell(number: int, count: int, unit: str) -> None:
    """Say how far the part is. Outside :func:`fitting` nobody listens.

    Args:
        number: How many rounds, epochs or series are done.
        count: How many there are at most.
        unit: What they are, such as ``round``.
    """
    fit = _fit.get()
    if fit is None or (now := time.monotonic()) < fit.due:
        return
    fit.due = now + EACH
    seconds = (now - fit.began) / number * (count - number)
    part = f", {fit.part}" if fit.part else ""
    line = f"{fit.name}{part}: {unit} {number:,} of {count:,}, {_time(seconds)} more at most"
    # With its end in one text: parts that are fitted beside each other would mix their lines.
    print(masked(line) + "\n", end="", file=sys.stderr, flush=True)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
