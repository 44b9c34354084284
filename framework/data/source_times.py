"""Times of a source as moments in UTC. A text is ISO 8601, a number is no time: what can be read in
two ways is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framework.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_TIMES = {"datetime64", "datetime", "date", "string", "empty", "mixed"}


def utc_times(values: pd.Series[Any], where: str) -> pd.DatetimeIndex:
    """Read a column of times; a time without a zone is UTC, null stays null.

    Args:
        values: Times, dates or texts in ISO 8601.
        where: What the message begins with, such as ``view 'sales': column 'day'``.

    Returns:
        The moments in UTC, with microseconds.

    Raises:
        DataError: A value is a number, or a text that is not ISO 8601.
    """
    import pandas as pd

    if not isinstance(values.dtype, pd.DatetimeTZDtype) and values.dtype.kind != "M":
        present = values.dropna()
        kind = pd.api.types.infer_dtype(present, skipna=True)
        if kind not in _TIMES:
            raise DataError(
                f"{where} is not a time: {present.iloc[0]!r} is {_article(kind)}; {_WAY}"
            )
    try:
        return pd.DatetimeIndex(pd.to_datetime(values, utc=True, format="ISO8601")).as_unit("us")
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is not a time: {_reason(values)}; {_WAY}") from error


_WAY = "give ISO 8601, such as 2024-01-31, or make it a time where it is read."


def _article(kind: str) -> str:
    return {
        "integer": "a number",
        "floating": "a number",
        "decimal": "a number",
        "mixed-integer": "a number",
    }.get(kind, f"of type {kind}")


def _reason(values: pd.Series[Any]) -> str:
    """The first value that alone is no time."""
    import pandas as pd

    for value in values.dropna():
        try:
            pd.to_datetime(pd.Series([value], dtype=object), utc=True, format="ISO8601")
        except (TypeError, ValueError):
            return f"{str(value)[:60]!r} is not ISO 8601"
    return "its values do not go together"
