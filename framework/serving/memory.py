"""Memory of a server: what a request has freed stays for the next one."""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

#: glibc's names (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes: of free memory at the end of the heap that are kept, and above which an array has pages of
#: its own.
_KEPT, _OWN_PAGES = 128 * 1024 * 1024, 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let the C library keep up to 128 MB of freed memory, where it is glibc.

    By default it gives arrays of some megabytes back to the system after each request, and the next
    one waits for new pages: of a context of 100 series by 336 steps by 7 columns that was more than
    half of the time (``benchmarks/online_window.py``).
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    if not (
        library.mallopt(_TRIM_THRESHOLD, _KEPT) and library.mallopt(_MMAP_THRESHOLD, _OWN_PAGES)
    ):
        log.info("the C library took no limits of memory")
