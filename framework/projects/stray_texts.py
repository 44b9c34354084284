"""Texts among the numbers of a column."""

from __future__ import annotations

import pandas as pd

from framework.errors import DataError
from framework.projects.columns import Columns, is_text

#: Up to so many different texts among numbers are mistakes, or mean null; more make codes.
_STRAY = 3
#: Fewer different numbers beside them are the values of a category, such as 0, a, b and c.
_NUMBERS = 10


def refuse_stray_texts(columns: Columns) -> None:
    """Refuse a column of numbers with a few texts among them: it would be left out as text, and
    another one be forecast.

    Args:
        columns: Time and entity are known.

    Raises:
        DataError: There is such a column, and nobody has decided what it is.
    """
    for name in columns.usable():
        values = columns.rows[name].dropna()
        if not is_text(values) or name in columns.decided.get("categories", ()):
            continue
        numbers = pd.to_numeric(values.astype(object), errors="coerce")
        stray = values[numbers.isna()]
        texts = list(dict.fromkeys(stray.astype(str)))
        if not 0 < len(texts) <= _STRAY or numbers.nunique() < _NUMBERS:
            continue
        examples = ", ".join(f"'{text}'" for text in texts)
        raise DataError(
            f"init.data: column '{name}' has numbers but for {examples} in {len(stray):,} of "
            f"{len(values):,} rows; mend them; or if they mean null in a file, "
            f"+init.reading.null_values=[{', '.join(repr(text) for text in ['', *texts])}]; or "
            "name the columns to use without it, init.columns=[COLUMN]."
        )
