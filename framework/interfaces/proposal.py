"""The proposal of a source for data that a person names, before there is a configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Guess:
    """A value that nobody gave.

    Args:
        value: As a configuration has it.
        why: What in the data speaks for it, one clause.
        doubtful: Whether something else is about as likely, so that a person should look.
    """

    value: Any
    why: str
    doubtful: bool = False


class Proposal(ABC):
    """The way in which a source would read one table of the named data.

    Args:
        source: The name of the source, ``files``.
        table: The name of the table, that of the view too.
        guesses: What was guessed of the source's own options, by name.
    """

    def __init__(self, source: str, table: str, guesses: Mapping[str, Guess]) -> None:
        self.source, self.table, self.guesses = source, table, guesses

    @abstractmethod
    def rows(self) -> pd.DataFrame:
        """Read the rows.

        Returns:
            The columns under their own names; a column of numbers or times has such a type.

        Raises:
            DataError: They cannot be read; the message says what to do.
        """

    @abstractmethod
    def options(self, rename: Mapping[str, str], time_zone: str | None) -> dict[str, Any]:
        """Write the options of the source that read the table.

        Args:
            rename: New names of columns; one of them becomes ``event_timestamp``.
            time_zone: Of the clock that times without an offset are of, None for UTC.

        Returns:
            The options as a configuration has them, without those that are default.
        """
