"""Several threads that ask one component at once, as a server's do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Threads that ask one component at once, and how often each does.
THREADS, ROUNDS = 4, 5


def ask_in_threads(ask: Callable[[int], Any]) -> list[list[Any]]:
    """Ask a component in :data:`THREADS` threads at once, :data:`ROUNDS` times in each.

    Args:
        ask: Asks for the answer of the thread with a number, from 0.

    Returns:
        The answers by thread. What a thread raises stands in the place of its answer.
    """
    answers: list[list[Any]] = [[] for _ in range(THREADS)]
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        for _ in range(ROUNDS):
            try:
                answers[number].append(ask(number))
            except Exception as error:  # noqa: BLE001  the check tells what a thread raises
                answers[number].append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    with _quick_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return answers


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Let threads take turns a thousand times more often than they usually do, so that what is not
    safe among them shows.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
