"""Tells that the memory of a GPU is full from what a library raises. None of them is imported."""

from __future__ import annotations

import re

#: ``CUDA out of memory``, ``cudaErrorMemoryAllocation: out of memory`` and what cuBLAS and cuDNN
#: say instead; ``HIP`` where ``CUDA`` is AMD's.
_FULL = re.compile(r"\b(cuda|hip).*out of memory|STATUS_ALLOC_FAILED", re.IGNORECASE | re.DOTALL)


def is_full(error: BaseException) -> bool:
    """Say whether an error means that the memory of a GPU is full.

    Args:
        error: What a model raised. Not every library has a class for it: the text says it.

    Returns:
        False for memory of the machine.
    """
    return _FULL.search(str(error)) is not None
