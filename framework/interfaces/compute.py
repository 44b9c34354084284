"""Compute: where independent pieces of one run are worked on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Piece = tuple[int, int]

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")


class Compute(ABC):
    """The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        """``function(shared, item)`` for each item, in order; raises what the function raises.

        All three can be pickled; ``shared`` is large, and is sent to a worker at most once. What
        was started ends with the iterator.
        """

    def stream(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        """As :meth:`map`, for many small items whose results nobody needs in order: each is given
        as soon as it is there.

        A worker keeps ``shared`` for all its items. An item may be worked on more than once when a
        worker dies.
        """
        return self.map(function, shared, items)
