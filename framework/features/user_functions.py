"""A user's own function in feature engineering: found by its name, called with whole series, its
answer checked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.arrays import Float64
from framework.errors import ConfigError, DataError, one_line, suggest
from framework.features.operations import Python

if TYPE_CHECKING:
    import pandas as pd


def find_function(op: Python) -> Callable[..., Any]:
    """The named function. Raises :class:`ConfigError` naming the module or the function that is not
    there.
    """
    module, _, name = op.function.partition(":")
    try:
        definition = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"features: op python: '{op.function}': {error}; install it or run beside it."
        ) from error
    except AttributeError as error:
        known = [k for k, v in vars(importlib.import_module(module)).items() if callable(v)]
        raise ConfigError(
            f"features: op python: '{module}' has no '{name}';{suggest(name, known)}"
        ) from error
    if not callable(definition):
        raise ConfigError(f"features: op python: '{op.function}' is not a function.")
    function: Callable[..., Any] = definition
    return function


def call(op: Python, rows: pd.DataFrame) -> list[Float64]:
    """``[rows]`` for each of ``op.outputs``. Raises :class:`DataError` when the function fails or
    answers in another shape.
    """
    function = find_function(op)
    try:
        answer = function(rows.copy(), **op.options)
    except Exception as error:
        reason = one_line(error, 300)
        raise DataError(
            f"features: op python: '{op.function}' failed: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(answer, Mapping) and not hasattr(answer, "columns"):
        raise DataError(
            f"features: op python: '{op.function}' gave a {type(answer).__name__}; give a "
            f"data frame or {{output: array}}."
        )
    names = [str(c) for c in (answer if isinstance(answer, Mapping) else answer.columns)]
    if sorted(names) != sorted(op.outputs):
        raise DataError(
            f"features: op python: '{op.function}' gave {sorted(names)}; outputs are "
            f"{sorted(op.outputs)}."
        )
    return [_numbers(op, name, answer[name], len(rows)) for name in op.outputs]


def _numbers(op: Python, name: str, values: Any, rows: int) -> Float64:
    try:
        column = (
            values.to_numpy(dtype=np.float64, na_value=np.nan)
            if hasattr(values, "to_numpy")
            else np.asarray(values, dtype=np.float64)
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"features: op python: output '{name}' of '{op.function}' is not numeric ({error})."
        ) from error
    if column.shape != (rows,):
        raise DataError(
            f"features: op python: output '{name}' of '{op.function}' has shape "
            f"{column.shape} for {rows} rows."
        )
    return np.asarray(column)
