"""Numeric steps: learned once from training columns, then elementwise operations on whole rows.

A step is compiled to vectors as wide as the block, neutral where it does not apply (minus 0, by 1,
between -inf and inf), so that one row costs one call per operation and not one per column.
Elementwise float64 operations give the same bits for a row alone and among a million; sums and
products over rows or columns appear in ``learn`` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Objects, Times
from framework.data.frequency import Frequency
from framework.errors import ConfigError, DataError, suggest
from framework.features.calendar_options import CalendarOptions
from framework.features.country_calendars import calendar_of, check_calendar

Arrays = dict[str, npt.NDArray[Any]]
#: Works on ``values[r, width]`` in place; ``times[r]`` label the rows, ``static[r, S]`` says whose
#: they are, None where no step asks.
Operation = Callable[[Float64, Times, Objects | None], None]
#: What a calendar of several countries keeps: the place of its column among the static ones.
COUNTRIES = "countries"


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The rows of a block beside their values: ``times[r]``, ``static[r, S]``."""

    times: Times
    static: Objects
    static_names: Sequence[str]
    frequency: Frequency


def places(columns: Sequence[str] | None, names: Sequence[str], path: str) -> npt.NDArray[np.int64]:
    """Find ``columns`` (None: all) among ``names``. Raises ConfigError with the config path
    and a suggestion.
    """
    for column in columns or ():
        if column not in names:
            raise ConfigError(
                f"{path}.columns: '{column}' is not a column here;{suggest(column, names)} "
                f"Known: {', '.join(names) or 'none'}."
            )
    return np.array(
        [names.index(c) for c in (names if columns is None else columns)], dtype=np.int64
    )


def learn(
    step: Any, values: Float64, names: list[str], path: str, rows: TrainingRows
) -> tuple[Arrays, list[str]]:
    """The fitted state of a step and the names of the columns it adds. ``values[r, len(names)]``
    are training rows.
    """
    if step.step == "calendar":
        state = _learn_calendar(step, path, rows)
        added = [*step.names()]
        index = np.zeros(0, dtype=np.int64)
    else:
        index = places(step.columns, names, path)
        state = _LEARN[step.step](
            step, [values[:, i] for i in index], [names[i] for i in index], path
        )
        added = (
            [f"{names[i]}_missing" for i in index]
            if step.step == "impute" and step.indicator
            else []
        )
    if clash := [name for name in added if name in names]:
        raise ConfigError(
            f"{path}: adds columns {clash} that are there already; remove the step that "
            "repeats them."
        )
    return {"index": index, "first": np.array(len(names)), **state}, added


def _learn_calendar(step: CalendarOptions, path: str, rows: TrainingRows) -> Arrays:
    state: Arrays = {"frequency": np.array(rows.frequency.alias)}
    texts = None
    if step.country_column is not None:
        if step.country_column not in rows.static_names:
            raise ConfigError(
                f"{path}.country_column: '{step.country_column}' is no key and no category here;"
                f"{suggest(step.country_column, rows.static_names)} Known: "
                f"{', '.join(rows.static_names) or 'none'}."
            )
        place = rows.static_names.index(step.country_column)
        state[COUNTRIES] = np.array(place)
        texts = rows.static[:, place].tolist()
    try:
        check_calendar(step, rows.times, texts, rows.frequency)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return state


def _known(column: Float64, name: str, path: str) -> Float64:
    known = column[~np.isnan(column)]
    if not len(known):
        raise DataError(
            f"{path}: column '{name}' has no value in the training rows to learn from; "
            "leave it out of the step's columns."
        )
    return known


def _impute(step: Any, columns: list[Float64], names: list[str], path: str) -> Arrays:
    if step.strategy == "constant":
        return {"fill": np.full(len(columns), step.fill_value)}
    statistic = np.mean if step.strategy == "mean" else np.median
    return {
        "fill": np.array(
            [statistic(_known(c, n, path)) for c, n in zip(columns, names, strict=True)],
            dtype=np.float64,
        )
    }


def _scale(step: Any, columns: list[Float64], names: list[str], path: str) -> Arrays:
    centre, spread = np.zeros(len(columns)), np.ones(len(columns))
    for i, (column, name) in enumerate(zip(columns, names, strict=True)):
        known = _known(column, name, path)
        if step.method == "standard":
            centre[i], spread[i] = known.mean(), known.std()
        elif step.method == "minmax":
            centre[i], spread[i] = known.min(), known.max() - known.min()
        else:
            low, centre[i], high = np.quantile(known, [0.25, 0.5, 0.75])
            spread[i] = high - low
    return {
        "centre": centre,
        "spread": np.where(spread > 0, spread, 1.0),
    }  # a constant column becomes 0


def _clip(step: Any, columns: list[Float64], names: list[str], path: str) -> Arrays:
    def bound(fixed: float | None, quantile: float | None, neutral: float) -> Float64:
        if quantile is not None:
            return np.array(
                [
                    np.quantile(_known(c, n, path), quantile)
                    for c, n in zip(columns, names, strict=True)
                ],
                dtype=np.float64,
            )
        return np.full(len(columns), neutral if fixed is None else fixed)

    return {
        "lower": bound(step.lower, step.lower_quantile, -np.inf),
        "upper": bound(step.upper, step.upper_quantile, np.inf),
    }


def _log(step: Any, columns: list[Float64], names: list[str], path: str) -> Arrays:
    return {}


_LEARN: dict[str, Callable[[Any, list[Float64], list[str], str], Arrays]] = {
    "impute": _impute,
    "scale": _scale,
    "clip": _clip,
    "log": _log,
}


def compile_step(step: Any, state: Arrays, names: Sequence[str]) -> list[Operation]:
    """The operations of a fitted step on rows as wide as ``names``, the block's final columns."""
    index, first = state["index"], int(state["first"])

    def wide(values: npt.NDArray[Any], neutral: float) -> Float64:
        out = np.full(len(names), neutral)
        out[index] = values
        return out

    if step.step == "calendar":
        return [_calendar_operation(step, state, first)]
    if not len(index):
        return []
    if step.step == "impute":
        fill = _fill_operation(wide(state["fill"], np.nan))
        return [_indicator_operation(index, first), fill] if step.indicator else [fill]
    if step.step == "scale":
        centre, spread = wide(state["centre"], 0.0), wide(state["spread"], 1.0)
        return [_outer(np.subtract, centre), _outer(np.divide, spread)]
    if step.step == "clip":
        lower, upper = wide(state["lower"], -np.inf), wide(state["upper"], np.inf)
        return [_outer(np.maximum, lower), _outer(np.minimum, upper)]
    return [_log_operation(index, [names[i] for i in index])]


def _outer(function: np.ufunc, operand: Float64) -> Operation:
    def apply(values: Float64, times: Times, static: Objects | None) -> None:
        function(values, operand, out=values)

    return apply


def _fill_operation(fill: Float64) -> Operation:
    def apply(values: Float64, times: Times, static: Objects | None) -> None:
        np.copyto(values, fill, where=np.isnan(values))

    return apply


def _indicator_operation(index: npt.NDArray[np.int64], first: int) -> Operation:
    def apply(values: Float64, times: Times, static: Objects | None) -> None:
        values[:, first : first + len(index)] = np.isnan(values.take(index, axis=1))

    return apply


def _log_operation(index: npt.NDArray[np.int64], names: Sequence[str]) -> Operation:
    def apply(values: Float64, times: Times, static: Objects | None) -> None:
        picks = values.take(index, axis=1)
        low = picks <= -1.0
        if low.any():
            row, column = np.argwhere(low)[0]
            raise DataError(
                f"column '{names[column]}': log(1 + x) needs values above -1, got "
                f"{picks[row, column]:g}; clip it first or leave it out."
            )
        values[:, index] = np.log1p(picks)

    return apply


def _calendar_operation(step: CalendarOptions, state: Arrays, first: int) -> Operation:
    fields = step.fields
    place = int(state[COUNTRIES]) if COUNTRIES in state else None
    frequency = None
    if "frequency" in state:
        frequency = Frequency.parse(str(state["frequency"]))
    # saved by a version that took labels of days for moments, and had no ISO weeks: what was
    # learned stays what is computed
    else:
        fields = tuple(
            "week_from_january_1" if field == "week_of_year" else field for field in fields
        )

    def apply(values: Float64, times: Times, static: Objects | None) -> None:
        texts = None
        if place is not None:
            assert static is not None  # needs_static
            texts = static[:, place].tolist()
        values[:, first : first + len(fields)] = calendar_of(step, fields, times, texts, frequency)

    return apply
