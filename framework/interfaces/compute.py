"""Compute: where independent pieces of one run are worked on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

Piece = tuple[int, int]

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
T = TypeVar("T")


class Compute(ABC):
    """The place where independent pieces of one run are worked on. The constructor stores its
    options and does nothing else.

    Workers may be on other machines, which share no folder with this one: all that they get are the
    arguments of a call, all that they give back is its result.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def map(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        """Call ``function(shared, item)`` for each item, wherever there is room.

        All three can be pickled. ``shared`` is large, and is sent to a worker at most once. Items
        may be large too: the next one is taken only when fewer than two for each worker have been
        taken whose result has not. What was started ends with the iterator.

        Args:
            function: What is called. Whatever it raises is raised where the result was to be.
            shared: The first argument of every call.
            items: The second argument, one for each call. Whatever their iterator raises is raised.

        Returns:
            The results, in the order of ``items``.

        Raises:
            FrameworkError: A worker died, and so did those that took its place, if any. By the
                iterator.
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

    @property
    def shares_memory(self) -> bool:
        """Say whether the workers are on this machine and map the arrays of ``shared``, so that
        these are in memory once. Where they do not, a large ``shared`` travels to each of them:
        items that hold what is needed alone are better.
        """
        return False

    def disk(self, size: int) -> int:
        """Estimate the temporary files of this machine that a large ``shared`` takes.

        Args:
            size: The bytes of its arrays.

        Returns:
            Bytes among the temporary files of the system; 0 where it goes through none.
        """
        return 0

    def stream(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        """Call ``function(shared, item)`` for many items whose results nobody needs in order.

        A worker keeps ``shared`` for all its items. An item may be worked on more than once when a
        worker dies. Items are taken as :meth:`map` takes them.

        Args:
            function: What is called. Whatever it raises is raised by the iterator.
            shared: The first argument of every call.
            items: The second argument, one for each call. Whatever their iterator raises is raised.

        Returns:
            The results, each as soon as it is there.

        Raises:
            FrameworkError: As of :meth:`map`.
        """
        return self.map(function, shared, items)


def in_flight(
    items: Iterable[I],
    most: Callable[[], int],
    start: Callable[[I], T],
    following: Callable[[list[T]], T],
    stop: Callable[[T], None] | None = None,
) -> Iterator[T]:
    """Start calls for items, a bounded number ahead of their results.

    Args:
        items: The items.
        most: Says how many calls may be pending now, one at least.
        start: Starts the call for an item.
        following: Chooses the next of the pending calls: the first where results are wanted in
            order, or else one that has ended, after waiting for it.
        stop: Ends a call that is pending when this iterator ends before its time.

    Yields:
        The calls that ``following`` chose.
    """
    iterator, pending = iter(items), list[T]()
    try:
        while True:
            pending += map(start, islice(iterator, max(0, most() - len(pending))))
            if not pending:
                return
            call = following(pending)
            pending.remove(call)
            yield call
            del call  # so that its result is held by nobody while others are waited for
    finally:
        if stop is not None:
            for call in pending:
                stop(call)
