"""Texts of many rows as numbers, which a file can hold, and each distinct text once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from framework.data.arrays import Objects
from framework.data.scratch import Array, blocks


class TextRows(Protocol):
    """``[rows, columns]`` of texts: an array of objects, or :class:`CodedTexts`. A part of it is an
    array.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


class CodedTexts:
    """Texts that are read as an array of objects is; they cannot be written.

    ``codes``: ``[rows, columns]``, the number of each text. ``texts``: of each column the distinct
    texts, and None at the end, which has the code -1.
    """

    def __init__(self, codes: Array, texts: tuple[Objects, ...]) -> None:
        self.codes, self.texts = codes, texts

    @property
    def shape(self) -> tuple[int, ...]:
        """The rows and the columns."""
        return self.codes.shape

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, key: Any) -> Any:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(columns, int | np.integer):
            return self.texts[columns][self.codes[rows, columns]]
        codes = self.codes[rows][..., columns]
        out = np.empty(codes.shape, dtype=object)
        for i, texts in enumerate(self.texts[columns]):
            out[..., i] = texts[codes[..., i]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Objects:
        """Make an array of all of them, in memory."""
        out = np.empty(self.shape, dtype=object)
        for rows in blocks(len(self)):
            out[rows] = self[rows]
        return out

    def picked(self, pick: Callable[[Array], Array]) -> CodedTexts:
        """Take rows.

        Args:
            pick: Takes them out of an array.

        Returns:
            The texts of these rows.
        """
        return CodedTexts(pick(self.codes), self.texts)


class TextCoder:
    """Numbers the texts of a table that comes piece by piece, ``columns`` of them."""

    def __init__(self, columns: int) -> None:
        self._numbers: list[dict[str, int]] = [{} for _ in range(columns)]

    def codes(self, texts: Objects) -> Array:
        """Number the texts of a piece.

        Args:
            texts: ``[rows, columns]``; None for a null.

        Returns:
            ``[rows, columns]``: the same number for the same text in every piece, -1 for None.
        """
        import pandas as pd

        out = np.empty(texts.shape, dtype=np.int32)
        for i, numbers in enumerate(self._numbers):
            places, distinct = pd.factorize(texts[:, i])
            known = [numbers.setdefault(text, len(numbers)) for text in distinct]
            out[:, i] = np.array([*known, -1], dtype=np.int32)[places]
        return out

    def coded(self, codes: Array) -> CodedTexts:
        """Read the numbers of all pieces.

        Args:
            codes: ``[rows, columns]``, from :meth:`codes`.

        Returns:
            The texts.
        """
        columns = []
        for numbers in self._numbers:
            texts = np.empty(len(numbers) + 1, dtype=object)
            texts[: len(numbers)] = list(numbers)
            columns.append(texts)
        return CodedTexts(codes, tuple(columns))


def picked(texts: TextRows, pick: Callable[[Array], Array]) -> TextRows:
    """Take rows out of texts.

    Args:
        texts: The texts.
        pick: Takes them out of an array.

    Returns:
        The texts of these rows, in the same form.
    """
    if isinstance(texts, CodedTexts):
        return texts.picked(pick)
    return pick(np.asarray(texts))
