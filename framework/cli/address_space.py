"""A limited address space (``ulimit -v``): where it is too small, libraries in C end the process
without a word, or wait for threads that they could not start.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable

from framework.errors import FrameworkError

#: Megabytes below which no run is begun. On 2 cores a training with XGBoost needed 2,100; with less
#: it stood still, and its libraries ended the process.
LEAST = 2_000
#: Bytes that are given back before an error is told.
_KEPT = 32 * 2**20
_kept: list[bytearray] = []
#: By these a library in C ends its process.
_ENDS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
_NEXT = "raise it (ulimit -v unlimited), and limit memory by a control group instead"
#: Of Linux: a process is sent this signal when its parent ends.
_PR_SET_PDEATHSIG = 1


def limit() -> int | None:
    """Return the limit in megabytes, None without one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft // 10**6


def check_address_space() -> None:
    """Raise :class:`FrameworkError` where the limit of this process is below :data:`LEAST`."""
    megabytes = limit()
    if megabytes is None:
        return
    if megabytes < LEAST:
        raise FrameworkError(
            "there is not enough memory: the address space of this process is limited to "
            f"{megabytes:,} MB, and a run needs {LEAST:,} MB at least; {_NEXT}."
        )
    _kept[:] = [bytearray(_KEPT)]


def give_back() -> None:
    """Free what was kept for the line that tells an error."""
    _kept.clear()


def doubt() -> str | None:
    """Say what is most likely behind a strange failure of a limited process, None of another."""
    megabytes = limit()
    if megabytes is None:
        return None
    return (
        "most likely there is not enough memory, as the address space of this process is limited "
        f"to {megabytes:,} MB; {_NEXT}."
    )


def watched(work: Callable[[], int], tell: Callable[[FrameworkError], object]) -> int:
    """Work, and where there is a limit do so in a process of its own.

    Args:
        work: Gives the exit code.
        tell: Is told of an end that only another process can tell of.

    Returns:
        The exit code. A limited process returns twice, once in each process.
    """
    if limit() is None:
        return work()
    parent, signals = os.getpid(), (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until there is who takes them
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setpgid(0, 0)  # Ctrl-C comes once, from the parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return work() if os.getppid() == parent else FrameworkError.exit_code
    for number in signals:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code >= 0:
        return code
    if -code not in _ENDS:
        return 128 - code
    tell(FrameworkError(f"a library ended the process by {signal.Signals(-code).name}: {doubt()}"))
    return FrameworkError.exit_code
