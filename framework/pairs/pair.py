"""The pair in memory: a preprocessor and a model that were trained together, and the one path from
context to forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from framework.data.arrays import Flags, Float32, Float64, Objects, Rows
from framework.data.context import Context, begun
from framework.data.forecast import Forecast
from framework.data.frequency import Frequency
from framework.data.known_values import KnownValues
from framework.data.own_columns import own_columns
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.vocabulary import CPU, OK, SHORT_HISTORY, UNKNOWN_ENTITY
from framework.data.windows import PanelArrays, Windows
from framework.errors import DataError, FrameworkError, one_line
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.models.gpu_memory import is_full
from framework.pairs.domain import Domain
from framework.pairs.intervals import Calibration

#: Why a series gets no forecast where ``panel.new`` is ``refuse``.
NEW = "the pair was not trained on this series, and panel.new=refuse"


#: Rows that are transformed at a time: what a transform needs beside its result does not grow.
BLOCK = 500_000


def transform_panel(preprocessor: Preprocessor, schema: Schema, panel: Panel) -> PanelArrays:
    """Every row of a panel through the transforms that serve a single one."""

    def whose(rows: slice) -> dict[str, Objects]:
        return {"static": panel.static[rows]} if preprocessor.needs_static else {}

    def by_block(transform: Callable[[slice], Float32]) -> Float32:
        """Transform rows: the memory beside the result does not grow."""
        first = transform(slice(0, BLOCK))
        if len(panel) <= BLOCK and not panel.scratch.is_mapped:
            return first
        result = panel.scratch.empty((len(panel), first.shape[1]), first.dtype)
        result[: len(first)] = first
        for start in range(BLOCK, len(panel), BLOCK):
            rows = slice(start, start + BLOCK)
            result[rows] = transform(rows)
        return result

    return PanelArrays(
        panel.offsets,
        panel.entities,
        panel.times,
        # keeps no other column of the panel
        panel.scratch.columns(panel.past, range(len(schema.targets))),
        by_block(
            lambda rows: preprocessor.past(panel.past[rows], panel.times[rows], **whose(rows))
        ),
        by_block(
            lambda rows: preprocessor.future(panel.known[rows], panel.times[rows], **whose(rows))
        ),
        by_block(lambda rows: preprocessor.static(panel.static[rows])),
        preprocessor.past_names,
        scratch=panel.scratch,
    )


def make_windows(
    preprocessor: Preprocessor, schema: Schema, frequency: Frequency, context: Context
) -> Windows:
    """The first half's work: preprocess a context whose windows are all ``ok``."""
    n, length, columns = context.past.shape
    horizon = schema.horizon
    times = frequency.after(context.origins, horizon)
    back = frequency.shift(context.origins[:, None], np.arange(1 - length, 1)[None, :])

    def whose(steps: int) -> dict[str, Objects]:
        return {"static": context.static.repeat(steps, axis=0)} if preprocessor.needs_static else {}

    past = preprocessor.past(
        context.past.reshape(n * length, columns), back.reshape(-1), **whose(length)
    )
    future = preprocessor.future(
        context.known.reshape(n * horizon, context.known.shape[2]),
        times.reshape(-1),
        **whose(horizon),
    )
    return Windows(
        context.past[:, :, : len(schema.targets)],
        past.reshape(n, length, past.shape[1]),
        future.reshape(n, horizon, future.shape[1]),
        preprocessor.static(context.static),
        entities=context.static[:, : len(schema.entity_keys)],
    )


def history_columns(schema: Schema) -> tuple[Rows, ...]:
    """Give for each target the places among ``schema.past`` of its own values."""
    return own_columns(schema.targets, schema.past)


def without_history(schema: Schema, columns: tuple[Rows, ...], context: Context) -> dict[int, str]:
    """Find the windows that hold no value of a target of their own, neither as it is nor in a
    column that is made of it.

    A forecast of such a window could only be the average of other series.

    Args:
        schema: What the pair takes.
        columns: :func:`history_columns` of the schema.
        context: The windows; those that are not ``ok`` are not looked at.

    Returns:
        The places of the windows, each with the reason in one line.
    """
    reasons: dict[int, str] = {}
    for target, places in zip(schema.targets, columns, strict=True):
        empty = np.isnan(context.past[:, :, places]).all(axis=(1, 2))
        for i in np.flatnonzero(empty).tolist() if empty.any() else ():
            if context.status[i] == OK:
                steps = (
                    "at the origin"
                    if schema.context_length == 1
                    else f"in the last {schema.context_length} steps"
                )
                others = ", nor in the columns that are made of it" if len(places) > 1 else ""
                reasons.setdefault(i, f"no value of '{target}' {steps}{others}")
    return reasons


def make_values(model: Model, schema: Schema, windows: Windows) -> Float64:
    """The second half's work: ``[n, H, T, 1 + Q]``, checked for its shape and for values that are
    not finite.
    """
    try:
        values = np.asarray(model.predict(windows), dtype=np.float64)
    except Exception as error:
        if not is_full(error):
            raise
        device = "the GPU" if model.placed_on == CPU else model.placed_on
        raise FrameworkError(
            f"model {type(model).__name__}: the memory of {device} is full, a forecast of "
            f"{len(windows)} windows does not fit ({one_line(error, 200)}); free it, ask for fewer "
            "at once (serving.batch.size, serving.max_rows, predict.piece), or set serving.device "
            "or predict.device to cpu."
        ) from error
    expected = (len(windows), schema.horizon, len(schema.targets), 1 + len(schema.quantiles))
    if values.shape != expected:
        raise FrameworkError(
            f"model {type(model).__name__}: predict gave shape {values.shape}, {expected} expected."
        )
    if not np.isfinite(values).all():
        raise FrameworkError(
            f"model {type(model).__name__}: predict gave a value that is not finite."
        )
    return values


class Terms:
    """The terms of a pair's answers, without its halves: enough to check a request and to finish a
    forecast of values.
    """

    schema: Schema
    calibration: Calibration | None
    #: The series that alone are answered (``panel.new: refuse``), None for any.
    trained: frozenset[tuple[str, ...]] | None

    @cached_property
    def frequency(self) -> Frequency:
        return Frequency.parse(self.schema.frequency)

    @cached_property
    def _own(self) -> tuple[Rows, ...]:
        return history_columns(self.schema)

    @cached_property
    def domain(self) -> Domain:
        return Domain(self.schema)

    @cached_property
    def known_values(self) -> KnownValues:
        return KnownValues(self.schema)

    def admitted(self, context: Context) -> Context:
        """Mark the windows that this pair does not answer.

        Categories are spelled as training did; those that it did not see are named and counted.
        Where only trained series are answered, the others are ``unknown_entity``.
        A window that holds no value of a target of its own is ``short_history``, unless the pair
        forecasts cold windows.
        """
        context = self._trained_only(self.known_values.match(context))
        if self.schema.cold:
            return context
        empty = without_history(self.schema, self._own, context)
        if not empty:
            return context
        status = [SHORT_HISTORY if i in empty else s for i, s in enumerate(context.status)]
        return replace(
            context, status=status, detail=[empty.get(i, d) for i, d in enumerate(context.detail)]
        )

    def cold(self, context: Context) -> Flags | None:
        """Mark the windows that are forecast without any value of a target of their own.

        Args:
            context: The windows, after :meth:`admitted`.

        Returns:
            ``[n]``; None where the pair forecasts no such window.
        """
        if not self.schema.cold:
            return None
        flags = np.zeros(len(context), dtype=bool)
        flags[list(without_history(self.schema, self._own, context))] = True
        return flags

    def short(self, context: Context) -> Flags | None:
        """Mark the windows that are forecast from fewer steps than the pair usually looks at.

        Args:
            context: The windows, after :meth:`admitted`.

        Returns:
            ``[n]``; None where the pair forecasts no such window.
        """
        if self.schema.needed_steps == self.schema.context_length:
            return None
        ok = np.array([status == OK for status in context.status], dtype=bool)
        return ok & ~begun(context.past[:, :1])[:, 0]

    def _trained_only(self, context: Context) -> Context:
        if self.trained is None:
            return context
        keys = len(self.schema.entity_keys)
        new = [
            s == OK and tuple(row) not in self.trained
            for s, row in zip(context.status, context.static[:, :keys], strict=True)
        ]
        if not any(new):
            return context
        status = [UNKNOWN_ENTITY if n else s for n, s in zip(new, context.status, strict=True)]
        return replace(
            context,
            status=status,
            detail=[NEW if n else d for n, d in zip(new, context.detail, strict=True)],
        )

    def check_levels(self, levels: Sequence[float]) -> None:
        """Raises :class:`DataError` for a level of prediction intervals that this pair cannot
        answer.
        """
        if levels and self.calibration is None:
            raise DataError(
                "this pair has no prediction intervals: its backtest had no known errors"
            )
        if levels and self.calibration is not None:
            self.calibration.check(levels)

    def calibrated(self, calibration: Calibration | None) -> Self:
        """Give the same terms with other intervals."""
        return replace(self, calibration=calibration)  # type: ignore[type-var]

    def settle(self, context: Context, values: Float64) -> tuple[Float64, dict[str, Float64]]:
        """Move what the model said into the domain of its targets, and put the intervals around it.

        Args:
            context: The windows, with the levels that are asked for.
            values: ``[n, H, T, 1 + Q]``, NaN for windows without a forecast.

        Returns:
            The forecasts, and ``[n, H, T, 2]`` by level, such as ``"80"``.

        Raises:
            DataError: The pair cannot answer one of the levels.
        """
        self.check_levels(context.levels)
        values = self.domain.settle(values, context.known)
        if self.calibration is None:
            return values, {}
        entities = context.static[:, : len(self.schema.entity_keys)]
        intervals = {
            f"{level:g}": self.calibration.interval(values, entities, level)
            for level in context.levels
        }
        return values, {
            level: self.domain.settle(ends, context.known) for level, ends in intervals.items()
        }


@dataclass(frozen=True)
class KnownTerms(Terms):
    """The terms of a pair whose halves are in other processes."""

    schema: Schema
    calibration: Calibration | None
    trained: frozenset[tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Pair(Terms):
    """Fitted halves with their schema, and what their backtest says about their errors (None:
    nothing yet).

    Immutable; safe to share between threads when the model's predict is.
    """

    schema: Schema
    preprocessor: Preprocessor
    model: Model
    calibration: Calibration | None = None
    trained: frozenset[tuple[str, ...]] | None = None

    def windows(self, context: Context) -> Windows:
        """Preprocess a context whose windows are all ``ok``."""
        return make_windows(self.preprocessor, self.schema, self.frequency, context)

    def forecast(self, context: Context) -> Forecast:
        """Forecast the windows that are ``ok`` and admitted; the others keep their status and
        NaN.
        """
        return self.answer(self.admitted(context))

    def answer(self, context: Context) -> Forecast:
        """Forecast every window that is ``ok``, also those that :meth:`admitted` would mark: a
        golden batch is replayed as it was.
        """
        index = np.array([i for i, s in enumerate(context.status) if s == OK], dtype=np.int64)
        shape = (
            len(context),
            self.schema.horizon,
            len(self.schema.targets),
            1 + len(self.schema.quantiles),
        )
        if len(index) == len(context) and len(index):
            values = self.predict(self.windows(context))
        else:
            values = np.full(shape, np.nan)
            if len(index):
                values[index] = self.predict(self.windows(context.take(index)))
        values, intervals = self.settle(context, values)
        return Forecast(
            context.origins,
            self.frequency.after(context.origins, self.schema.horizon),
            context.static[:, : len(self.schema.entity_keys)],
            values,
            self.schema.targets,
            self.schema.quantiles,
            context.status,
            context.detail,
            intervals,
            context.freshness,
            context.unseen,
            cold=self.cold(context),
            short=self.short(context),
        )

    def predict(self, windows: Windows) -> Float64:
        """Ask the model, ``[n, H, T, 1 + Q]``, before :meth:`settle`; an answer of another
        shape or with a NaN in it is an error, never passed on.
        """
        return make_values(self.model, self.schema, windows)
