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

    #: Whether ``past`` and ``future`` need to know whose rows they get; ``fit`` and ``load`` may
    #: set it. Only then are they called with ``static``.
    needs_static: bool = False
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
        """Learn from training rows.

        Args:
            past: ``[r, P]``, the columns of ``schema.past``, NaN where null.
            known: ``[r, K]``, the columns of ``schema.known``, NaN where null.
            static: ``[r, S]`` of text, the columns of ``schema.static``, None where null.
            times: ``[r]``, the UTC label of each row's step.
            schema: Names the columns.

        Raises:
            DataError: A value cannot be learned from; the message names the column.
        """

    @abstractmethod
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        """Transform the columns of ``schema.past``, the targets' history included, to features.

        Args:
            values: ``[r, P]``, NaN where null.
            times: ``[r]``, the UTC label of each row's step.
            static: ``[r, S]`` of text, the columns of ``schema.static``; None unless
                ``needs_static``.

        Returns:
            ``[r, F]``, one column for each of ``past_names``.

        Raises:
            DataError: A value cannot be transformed; the message names the column.
        """

    @abstractmethod
    def future(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        """Transform the columns known in advance, and whatever follows from the time itself, such
        as a calendar.

        Args:
            values: ``[r, K]``, the columns of ``schema.known``, NaN where null.
            times: ``[r]``, the UTC label of each row's step.
            static: ``[r, S]`` of text, the columns of ``schema.static``; None unless
                ``needs_static``.

        Returns:
            ``[r, K']``, one column for each of ``future_names``.

        Raises:
            DataError: A value cannot be transformed; the message names the column.
        """

    @abstractmethod
    def static(self, values: Objects) -> Float32:
        """Transform entity keys and categories.

        A value unseen in ``fit`` is encoded as unknown, not as a known one. None is a value like
        any other: known where ``fit`` saw it, unknown where it did not.

        Args:
            values: ``[r, S]`` of text, the columns of ``schema.static``, None where null.

        Returns:
            ``[r, S']``, one column for each of ``static_names``.
        """

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write the fitted state as JSON, npz or a library's safe format, no pickle.

        Args:
            directory: An existing, empty directory.
        """

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote.

        Args:
            directory: The directory that ``save`` was given. It may be gone after this call.

        Returns:
            A preprocessor whose transforms are bit for bit those before ``save``. It can be
            pickled: ``run=predict`` sends it to the workers of ``compute``, maybe on other
            machines.
        """
