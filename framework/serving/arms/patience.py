"""A registry that is locked or slow is waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

from framework.errors import RegistryError

#: Seconds after which somebody who asks is told that the registry does not answer.
PATIENCE = 1.5

T = TypeVar("T")


def unanswered(since: float) -> str | None:
    """Say that the registry has not answered a question.

    Args:
        since: When it was asked, monotonic.

    Returns:
        One line; None while it is not too late.
    """
    seconds = monotonic() - since
    if seconds < PATIENCE:
        return None
    return f"the registry has not answered for {seconds:.1f} s: it is locked, slow or gone"


class PatientReads:
    """Reads of the registry, each in a thread that nobody has to wait for. None is begun while an
    earlier one is overdue.
    """

    def __init__(self) -> None:
        self._begun: list[float] = []

    def __call__(self, work: Callable[[], T]) -> T:
        """Read.

        Args:
            work: Asks the registry.

        Returns:
            What it returns.

        Raises:
            RegistryError: It has not returned in time, or an earlier one has not.
        """
        for since in list(self._begun):
            overdue = unanswered(since)
            if overdue is not None:
                raise RegistryError(overdue + ".")
        began, answer = monotonic(), Future[T]()
        self._begun.append(began)
        in_thread(work, answer, lambda: self._begun.remove(began))
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            if answer.done():  # its own
                raise
            raise RegistryError(f"{unanswered(began)}.") from None


def in_thread(
    work: Callable[[], T], answer: Future[T], ended: Callable[[], Any] = lambda: None
) -> None:
    """Do work in a thread that ends with the process.

    Args:
        work: What is done.
        answer: Gets its result.
        ended: Called when it has ended.
    """

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            ended()
            answer.set_exception(error)
        else:
            ended()
            answer.set_result(result)

    threading.Thread(target=run, name="registry", daemon=True).start()
