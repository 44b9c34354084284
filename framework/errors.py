"""Errors a user can act on: one line that says what, which and what next; the class gives the exit
code.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from typing import Any, ClassVar

from framework.secrets import masked


class FrameworkError(Exception):
    """A failure with a one-line message. ``exit_code`` follows the command-line contract."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Whatever a library said of a secret is masked."""
        return masked(super().__str__())


class DataError(FrameworkError):
    """The data is not what its declaration says: a missing column, a gap, a duplicate, too short a
    history.
    """


class NotThereError(DataError):
    """A file or folder that the configuration names, or what a run works on, is not there. A run by
    a schedule tries again; any other ends as with a wrong configuration.
    """

    exit_code = 2


class FieldError(DataError):
    """One value of a table is wrong.

    ``path``: where it is, such as ``rows[3].temp``; ``message``: what is wrong with it.
    """

    def __init__(self, message: str, path: str | None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.message, self.path = message, path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.path)


class ComponentError(FrameworkError):
    """The code of a component raised what is no error of a user's."""


class RegistryError(FrameworkError):
    """The registry has no such pair, version or alias."""


class ConfigError(FrameworkError):
    """The configuration is wrong: an unknown key, name or value."""

    exit_code = 2


class UnavailableError(ConfigError):
    """A component is known but cannot be used: its plugin is broken, or shares its name."""


class NotInstalledError(UnavailableError):
    """A component is known but its distribution is not installed."""


class RefusedError(FrameworkError):
    """A gate or a proof said no: a mismatched pair, a changed byte, a candidate worse than the
    incumbent.
    """

    exit_code = 3

    def __init__(self, message: str, verdict: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict


def one_line(error: object, limit: int = 400) -> str:
    """Cut what an error of a library says to one line. It is masked before it is cut: half a secret
    is one too.

    Args:
        error: The error, or any text.
        limit: The most characters that are left.

    Returns:
        One line.
    """
    return masked(" ".join(str(error).split()))[:limit]


def suggest(word: str, known: Iterable[str]) -> str:
    """Guess which known name was meant.

    Args:
        word: What was written.
        known: The names that there are.

    Returns:
        `` Did you mean 'x'?`` with a space before it; empty when nothing is near.
    """
    close = _closest(word, list(known))
    return f" Did you mean '{close}'?" if close else ""


def _closest(word: str, known: list[str]) -> str | None:
    """An abbreviation comes before a slip: ``lgbm`` is lightgbm, ``ets`` is auto_ets."""
    if len(word) >= _SHORTEST:
        short = word.lower()
        for fits in (str.startswith, str.__contains__, _abbreviates):
            long = [name for name in known if fits(name.lower(), short)]
            if long:
                return min(long, key=len)
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


#: Letters from which on a word may be a short form of another.
_SHORTEST = 3


def _abbreviates(name: str, short: str) -> bool:
    """Say whether ``short`` has letters of ``name`` in order, the first and the last among them,
    and a third of all.
    """
    rest = iter(name)
    ordered = all(letter in rest for letter in short)
    return ordered and name[0] == short[0] and name[-1] == short[-1] and 3 * len(short) >= len(name)


#: What to do about an error of the operating system, by its number.
_NEXT = {
    errno.EACCES: "give this user the right to it, or choose another place",
    errno.EPERM: "give this user the right to it, or choose another place",
    errno.EROFS: "its disk cannot be written; choose another place, paths.state for what a "
    "project makes",
    errno.ENOSPC: "the disk is full; free some space, or choose another place, paths.state "
    "for what a project makes",
    errno.EDQUOT: "the quota is used up; free some space, or choose another place, "
    "paths.state for what a project makes",
    errno.EISDIR: "a file is needed there; name one, or move the folder away",
    errno.ENOTDIR: "a folder is needed there; name one, or move the file away",
    errno.EEXIST: "something else has that name; move it away, or choose another place",
    errno.ENOENT: "it is not there, or went away meanwhile; look for it, and try again",
    errno.EFBIG: "it is larger than this process may write; raise its limit (ulimit -f)",
    errno.ENFILE: "the machine may not open more files; raise its limit (fs.file-max)",
    errno.ENOMEM: "there is not enough memory; give this process more, or let it do less at once",
    errno.EMFILE: "this process may not open more files; raise its limit (ulimit -n)",
}


def shortage(error: BaseException) -> OSError | None:
    """Find what the machine lacked behind an error of a library: a disk, a right, memory, files.

    Args:
        error: The error. What it was raised from counts too.

    Returns:
        The error of the operating system; None where the machine lacked nothing.
    """
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)
    for each in chain:
        if isinstance(each, OSError) and each.errno in _SHORT:
            return each
        if isinstance(each, MemoryError):
            return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        for text, number in _SAID.items():
            if text in str(each):
                return OSError(number, one_line(each))
    return None


#: What is a shortage whatever was tried. A file that is not there may well be a defect.
_SHORT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EMFILE,
}
#: What says that nothing more can be written.
_FULL = {errno.ENOSPC, errno.EDQUOT}
#: What libraries that do not raise an OSError say of a shortage.
_SAID = {
    "database or disk is full": errno.ENOSPC,
    "No space left on device": errno.ENOSPC,
    "readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
    "Too many open files": errno.EMFILE,
    "Cannot allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
    "bad allocation": errno.ENOMEM,
    "std::bad_alloc": errno.ENOMEM,
}


def explain_shortage(error: FrameworkError, place: str | None = None) -> str:
    """Say what to do about what the machine lacked, where an error of this project came of that.

    Args:
        error: The error.
        place: As of :func:`explain_system`.

    Returns:
        Its text; where it does not say what to do about the shortage behind it, that too.
    """
    text = str(error)
    lacking = shortage(error) if error.exit_code == FrameworkError.exit_code else None
    if lacking is None or lacking.errno in (None, errno.EACCES, errno.EPERM):
        return text  # of a right, an error of this project says more
    following = _NEXT[lacking.errno]
    if following in text:
        return text
    if lacking.errno in _FULL and place is not None:
        following = f"{place}: {following}"
    return f"{text.rstrip('.')}; {following}."


def explain_system(error: OSError, place: str | None = None) -> str:
    """Explain an error of the operating system in one line.

    Args:
        error: The error.
        place: Where the program writes, for a full disk: such an error names no file.

    Returns:
        The path, what is wrong with it, what to do next.
    """
    if error.filename is None and error.errno in _FULL and place is not None:
        error = OSError(error.errno, error.strerror or one_line(error), place)
    paths = " to ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
    text = " ".join((error.strerror or str(error)).split())
    if not paths:
        text = " ".join(str(error).split()) or type(error).__name__
    following = _NEXT.get(error.errno or 0, "try again when that is mended")
    return f"{f'{paths}: ' if paths else ''}{text}; {following}."
