"""Sentences in which the contract suites say what is wrong: what was done, what came of it, and
what usually causes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from framework.errors import FrameworkError, one_line


def refusal(
    action: Callable[[], Any], kind: type[FrameworkError], doing: str, *words: str
) -> FrameworkError:
    """Do what must be refused. Which words a refusal has is its author's choice; its class, its
    one line and what it names are not.

    Args:
        action: What is done.
        kind: The class of the refusal.
        doing: What is done, as the subject of a sentence: "a move to a version that is not there".
        words: What the message must contain, such as a name or a path.

    Returns:
        The refusal.

    Raises:
        AssertionError: Nothing was refused, or with another class or message.
    """
    try:
        result = action()
    except kind as error:
        text = str(error)
        assert "\n" not in text, f"{doing} is refused in several lines, not in one: {text!r}"
        for word in words:
            assert word in text, (
                f"{doing} is refused without naming '{word}', so that nobody knows what to mend: "
                f"{text!r}"
            )
        return error
    except Exception as error:
        raise AssertionError(
            f"{doing} raises {type(error).__name__}, not framework.errors.{kind.__name__}, and "
            f"becomes a traceback for the user: {one_line(error)}"
        ) from error
    raise AssertionError(
        f"{doing} is not refused with framework.errors.{kind.__name__}; it gives "
        f"{one_line(repr(result), 100)}"
    )


def equal(actual: Any, expected: Any, doing: str, cause: str) -> None:
    """Check an answer, or a part of it.

    Args:
        actual: What came.
        expected: What was to come.
        doing: What was asked, as the subject of a sentence.
        cause: Why it matters, or what usually causes a difference, as a sentence without its full
            stop.

    Raises:
        AssertionError: They differ.
    """
    assert actual == expected, f"{doing} gives {actual}, not {expected}; {cause}."


def same_bits(actual: Any, expected: Any, doing: str, cause: str) -> None:
    """Check that two arrays are equal, bit for bit.

    Args:
        actual: What came.
        expected: What was to come.
        doing: What was done, as the subject of a sentence.
        cause: What usually causes a difference, as a sentence without its full stop.

    Raises:
        AssertionError: They differ; the message says where and by how much.
    """
    one, other = np.asarray(actual), np.asarray(expected)
    assert one.shape == other.shape, (
        f"{doing} gives the shape {one.shape}, not {other.shape}; {cause}."
    )
    if one.tobytes() == other.tobytes():
        return
    assert one.dtype == other.dtype, f"{doing} gives {one.dtype}, not {other.dtype}; {cause}."
    differs = one != other
    if one.dtype.kind == "f":
        differs &= ~(np.isnan(one) & np.isnan(other))
    where = tuple(int(i) for i in np.argwhere(differs)[0]) if differs.any() else ()
    came, was = one[where], other[where]
    raise AssertionError(
        f"{doing} changes {int(differs.sum())} of {one.size} numbers, the first at {list(where)}: "
        f"{came} instead of {was}; {cause}."
    )


#: Why equal fits usually are saved as other bytes.
UNSTABLE = (
    "a file that holds a time, a random number, the order of a set or an address of memory makes "
    "every pair look changed: leave it out, or set stable_files = False where the library's "
    "format has it"
)


def same_files(
    actual: dict[str, bytes], expected: dict[str, bytes], doing: str, cause: str = UNSTABLE
) -> None:
    """Check that the same files were saved, byte for byte.

    Args:
        actual: What :func:`framework.testing.contracts.component.saved` gave.
        expected: The same of what it is compared with.
        doing: What was done, as the subject of a sentence.
        cause: What usually causes a difference, as a sentence without its full stop.

    Raises:
        AssertionError: A file differs; the message names the first.
    """
    for name in sorted({*actual, *expected}):
        one, other = actual.get(name), expected.get(name)
        assert one == other, f"{doing} saves other bytes in {name}; {cause}."
