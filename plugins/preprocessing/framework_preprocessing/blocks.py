"""Blocks: the fitted steps over one group of columns, ready to transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from framework.data.arrays import Float32, Float64, Objects, Times
from framework.errors import DataError
from framework_preprocessing.steps import (
    COUNTRIES,
    Arrays,
    TrainingRows,
    compile_step,
    learn,
    places,
)


def to_float32(values: Float64, names: Sequence[str]) -> Float32:
    """The last step of every numeric block. Raises DataError for what float32 cannot hold, naming
    the column.
    """
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    infinite = np.isinf(out)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            f"column '{names[column]}': {values[row, column]:g} is not a finite float32; "
            "clip it or mend it at its source."
        )
    return out


class NumericBlock:
    """``[r, len(inputs)] -> [r, len(names)]``: the input columns first, then what the steps
    added.
    """

    def __init__(
        self,
        steps: Sequence[Any],
        inputs: Sequence[str],
        names: Sequence[str],
        states: Sequence[Arrays],
    ) -> None:
        self.inputs, self.names, self.states = tuple(inputs), tuple(names), list(states)
        self._steps = list(steps)
        self.needs_static = any(COUNTRIES in state for state in states)
        self._operations = [
            op
            for step, state in zip(steps, states, strict=True)
            for op in compile_step(step, state, self.names)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process compiles the steps itself."""
        return NumericBlock, (self._steps, self.inputs, self.names, self.states)

    @classmethod
    def fit(
        cls,
        steps: Sequence[Any],
        values: Float64,
        inputs: Sequence[str],
        path: str,
        rows: TrainingRows,
    ) -> NumericBlock:
        """Each step learns from the training rows as the steps before it leave them."""
        names, states = list(inputs), []
        current = values
        for number, step in enumerate(steps):
            state, added = learn(step, current, names, f"{path}.{number}", rows)
            names += added
            states.append(state)
            if number == len(steps) - 1:  # nothing learns from what it does
                break
            current = np.concatenate([current, np.zeros((len(values), len(added)))], axis=1)
            for operation in compile_step(step, state, names):
                operation(current, rows.times, rows.static)
        return cls(steps, inputs, names, states)

    def __call__(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        if not self._operations:
            return to_float32(values, self.names)
        out = np.zeros((len(values), len(self.names)))
        out[:, : len(self.inputs)] = values
        for operation in self._operations:
            operation(out, times, static)
        return to_float32(out, self.names)


class _Codes(dict[str | None, float]):
    """Training value to code; any other value is -1."""

    def __missing__(self, value: str | None) -> float:
        return -1.0


class TextBlock:
    """``[r, S] str or None -> [r, len(names)]``.

    ``states``: per step the columns' places and their sorted training values; ``null_{place}`` is
    there where training had nulls, which are a value of their own: the last one.
    """

    def __init__(
        self, steps: Sequence[Any], inputs: Sequence[str], states: Sequence[Arrays]
    ) -> None:
        self.inputs, self.states = tuple(inputs), list(states)
        self._columns: list[tuple[int, _Codes, bool]] = []
        names: list[str] = []
        for step, state in zip(steps, states, strict=True):
            onehot = step.method == "onehot"
            for i in state["index"].tolist():
                name, known = (
                    self.inputs[i],
                    [*state[f"values_{i}"].tolist(), *([None] if f"null_{i}" in state else [])],
                )
                self._columns.append(
                    (i, _Codes({v: float(code) for code, v in enumerate(known)}), onehot)
                )
                names += (
                    [f"{name} is null" if v is None else f"{name}={v}" for v in known]
                    if onehot
                    else [name]
                )
        self.names = tuple(names)

    @classmethod
    def fit(
        cls, steps: Sequence[Any], values: Objects, inputs: Sequence[str], path: str
    ) -> TextBlock:
        states = []
        for number, step in enumerate(steps):
            index = places(step.columns, list(inputs), f"{path}.{number}")
            state: Arrays = {"index": index}
            for i in index.tolist():
                distinct = set(values[:, i].tolist())
                state[f"values_{i}"] = np.array(sorted(distinct - {None}), dtype=np.str_)
                if None in distinct:
                    state[f"null_{i}"] = np.ones(1, dtype=np.bool_)
            states.append(state)
        return cls(steps, inputs, states)

    def __call__(self, values: Objects) -> Float32:
        out = np.zeros((len(values), len(self.names)), dtype=np.float32)
        first = 0
        for i, codes, onehot in self._columns:
            code = np.fromiter(
                map(codes.__getitem__, values[:, i].tolist()), np.float64, len(values)
            )
            if onehot:
                rows = np.flatnonzero(code >= 0)
                out[rows, first + code[rows].astype(np.int64)] = 1.0
                first += len(codes)
            else:
                out[:, first] = code
                first += 1
        return out
