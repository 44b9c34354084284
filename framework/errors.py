"""Errors a user can act on: one line that says what, which and what next; the class gives the exit code."""

from __future__ import annotations

import difflib
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
    """The data is not what its declaration says: a missing column, a gap, a duplicate, too short a history."""


class RegistryError(FrameworkError):
    """The registry has no such pair, version or alias."""


class ConfigError(FrameworkError):
    """The configuration is wrong: an unknown key, name or value."""

    exit_code = 2


class NotInstalledError(ConfigError):
    """A component is known but its distribution is not installed."""


class RefusedError(FrameworkError):
    """A gate or a proof said no: a mismatched pair, a changed byte, a candidate worse than the incumbent."""

    exit_code = 3

    def __init__(self, message: str, verdict: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict


def one_line(error: object, limit: int = 400) -> str:
    """What an error of a library says, in one line, masked before it is cut: half a secret is one too."""
    return masked(" ".join(str(error).split()))[:limit]


def suggest(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
