"""What libraries raise when the memory of a GPU is full. None of them is imported."""

from __future__ import annotations

#: What the libraries of CUDA say instead of "out of memory".
_SAID = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_full(error: BaseException) -> bool:
    """Say whether an error means that the memory of a GPU is full.

    Args:
        error: What a model raised: torch has a class for it, XGBoost and CUDA say it in the text of
            a plain one.

    Returns:
        False for memory of the machine.
    """
    kind, text = type(error), str(error)
    if kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch":
        return True
    return ("out of memory" in text and "cuda" in text.lower()) or any(
        said in text for said in _SAID
    )
