"""Preprocessor: fitted on a panel, then one numerical path for one row and for a million."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.schema import Schema


class Preprocessor(ABC):
    """Turns columns into float32 arrays.

    The constructor stores its options and does nothing else. ``fit`` sees training rows only. The
    three transforms take ``[rows, columns]`` and return ``[rows, features]``; every row is
    transformed independently of the others, and bit for bit the same alone or among a million (the
    contract suite checks it). Nulls are NaN. Raise :class:`~framework.errors.DataError` for a value
    that cannot be transformed, naming the column.
    """

    #: Distributions that a serving environment needs to load the preprocessor, such as
    #: ``("scikit-learn",)``.
    requirements: ClassVar[tuple[str, ...]] = ()

    #: Feature names after each transform, in order; set by ``fit`` and ``load``.
    past_names: tuple[str, ...]
    future_names: tuple[str, ...]
    static_names: tuple[str, ...]

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        """Learn from training rows: ``past[r, P]``, ``known[r, K]``, ``static[r, S]`` str or None,
        ``times[r]`` (UTC).
        """

    @abstractmethod
    def past(self, values: Float64, times: Times) -> Float32:
        """``[r, P] -> [r, F]``: the columns of Schema.past (the targets' history included, as
        features).
        """

    @abstractmethod
    def future(self, values: Float64, times: Times) -> Float32:
        """``[r, K] -> [r, K']``: known-in-advance columns and whatever follows from the time
        itself, such as a calendar.
        """

    @abstractmethod
    def static(self, values: Objects) -> Float32:
        """``[r, S] -> [r, S']``: entity keys and categories. A value unseen in ``fit`` is encoded
        as unknown, not as a known one.

        None is a value like any other: known where ``fit`` saw it, unknown where it did not.
        """

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write the fitted state to an existing empty directory: JSON, npz or a library's safe
        format, no pickle.
        """

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
