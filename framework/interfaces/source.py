"""Source: raw data to tables, one for each feature view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pandas as pd


class Source(ABC):
    """Reads raw data. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table: entity keys, ``event_timestamp`` (UTC) and value columns, in the order the source has them.

        Raises :class:`~framework.errors.DataError` naming the file, table or column that is missing.
        """

    @abstractmethod
    def fingerprint(self) -> dict[str, str]:
        """What was read: ``{file or query: sha256}``; equal data gives an equal fingerprint."""
