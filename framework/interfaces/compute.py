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
    """The place where independent pieces of one run are worked on. The constructor stores its
    options and does nothing else.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        """Call ``function(shared, item)`` for each item, wherever there is room.

        All three can be pickled. ``shared`` is large, and is sent to a worker at most once. What
        was started ends with the iterator.

        Args:
            function: What is called. Whatever it raises is raised where the result was to be.
            shared: The first argument of every call.
            items: The second argument, one for each call.

        Returns:
            The results, in the order of ``items``.
        """

    def together(self, count: int) -> int:
        """Say how many items are worked on at the same time on this machine, for an estimate of the
        memory that they take.

        Args:
            count: How many there are.

        Returns:
            The number; 1 where they are worked on elsewhere.
        """
        return 1

    def stream(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        """Call ``function(shared, item)`` for many small items whose results nobody needs in order.

        A worker keeps ``shared`` for all its items. An item may be worked on more than once when a
        worker dies.

        Args:
            function: What is called. Whatever it raises is raised by the iterator.
            shared: The first argument of every call.
            items: The second argument, one for each call.

        Returns:
            The results, each as soon as it is there.
        """
        return self.map(function, shared, items)
