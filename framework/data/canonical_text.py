"""One text for one value: keys and categories as text, whatever reader, batch or dialect they come
from.

Null stays null, a text stays as it was written. A whole number is written without a point whether
it came as an integer, a float or a decimal; a boolean is ``true`` or ``false``; a date has no time.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.arrays import Objects
from framework.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: From here on a 64-bit float no longer tells every whole number apart.
EXACT = float(2**53)


def canonical_text(value: Any) -> str | None:
    """Write one value as text.

    Args:
        value: The value.

    Returns:
        Its text, None for null (None, NaN, NaT, NA).

    Raises:
        DataError: The value is a list, an object or another thing that has no text.
    """
    if value is None or type(value) is str:
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return _float(value)
    if isinstance(value, Decimal):
        return None if value.is_nan() else _trimmed(format(value, "f"))
    return _other(value)


def category_texts(values: pd.Series[Any]) -> Objects:
    """Write every value of a column as text.

    Args:
        values: The column.

    Returns:
        ``[rows]``, None for null.

    Raises:
        DataError: A value has no text; the message names the column.
    """
    try:
        return _texts(values)
    except DataError as error:
        raise DataError(f"column '{values.name}': {error}") from None


def key_texts(values: pd.Series[Any], where: str, *, whole: bool = True) -> Objects:
    """Write a key column as texts, of which no two ids may share one.

    Args:
        values: A column of keys; null stays null.
        where: What the message begins with, such as ``view 'sales'``.
        whole: Refuse fractions too, not only floats that cannot hold their id.

    Returns:
        ``[rows]``, None for null.

    Raises:
        DataError: A key is a float that has lost digits, or a fraction.
    """
    numbers = _floats(values)
    wrong = (np.abs(numbers) >= EXACT) | ((numbers % 1 != 0) & whole & np.isfinite(numbers))
    if wrong.any():
        raise DataError(
            f"{where}: key '{values.name}' holds {float(numbers[wrong][0])!r}, a "
            "floating-point number, "
            "which does not keep every digit of an id; cast it to text where it is read, "
            f"as with CAST({values.name} AS VARCHAR)."
        )
    try:
        return category_texts(values)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _floats(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The floating-point numbers of a column, without nulls; empty for a column of anything
    else.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return _floats(values.cat.categories.to_series())
    if pd.api.types.is_float_dtype(values.dtype):
        return np.unique(values.dropna().to_numpy(dtype=np.float64))
    if values.dtype != object or _is_text(values):
        return np.empty(0)
    kinds = (float, np.floating)
    numbers = [v for v in values.tolist() if isinstance(v, kinds) and v == v]  # noqa: PLR0124  NaN
    return np.array(numbers, dtype=np.float64)


def _texts(values: pd.Series[Any]) -> Objects:
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        known = [*_texts(values.cat.categories.to_series()), None]
        return _objects(known)[values.cat.codes.to_numpy()]  # the code of null is -1
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufbM":
        distinct, place = np.unique(values.to_numpy(), return_inverse=True)
        distinct_values = distinct if values.dtype.kind == "f" else pd.Series(distinct).tolist()
        return _objects([canonical_text(value) for value in distinct_values])[place]
    if values.dtype == object and _is_text(values):
        return np.array(values, dtype=object)
    return _objects([v if type(v) is str else canonical_text(v) for v in values.tolist()])


def _is_text(values: pd.Series[Any]) -> bool:
    """Say whether every value of an object column is a text, as most keys are: pandas looks at
    millions of them while a loop looks at a few.
    """
    import pandas as pd

    return pd.api.types.infer_dtype(values, skipna=False) == "string"


def _objects(texts: list[str | None]) -> Objects:
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


def _float(value: float | np.floating[Any]) -> str | None:
    """As few digits as tell the number apart in its own precision, without an exponent."""
    if np.isnan(value):
        return None
    return (
        _trimmed(np.format_float_positional(value, trim="-")) if np.isfinite(value) else str(value)
    )


def _trimmed(text: str) -> str:
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _other(value: Any) -> str | None:
    import pandas as pd

    if isinstance(value, (list, tuple, set, dict, np.ndarray)):
        kind = type(value).__name__
        raise DataError(f"a {kind} is no text; make one text of it where it is read")
    if pd.isna(value):
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _moment(value: datetime) -> str:
    """Midnight without a zone is a date: readers give a date either way."""
    if value.tzinfo is None and value.time() == time():
        return value.date().isoformat()
    text, zone = value.replace(tzinfo=None).isoformat(" "), value.strftime("%z")
    return (text.rstrip("0") if "." in text else text) + (f"{zone[:3]}:{zone[3:5]}" if zone else "")
