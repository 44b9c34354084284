"""Data frames to the values that cross the seams and back, for MLflow's PyFunc: rows in, flat
features between, flat forecasts out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from framework.data.anchors import explain_off_grid, off_grid
from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.canonical_text import category_texts, key_texts
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.vocabulary import OK, TIME
from framework.data.windows import Windows
from framework.errors import DataError
from framework.pairs.artifacts import FEATURES

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns between the halves, one row a window.

    ``target__{name}__{k}`` (float64) and ``past__{name}__{k}`` for the steps ``k`` = 1 - L … 0 up
    to the origin, ``future__{name}__{h}`` for the steps ``h`` = 1 … H after it, ``static__{name}``
    (float32). ``known__{name}__{h}`` (float64): the columns of ``Schema.zero_when`` as they are
    stored, which the answer keeps to. ``entity__{key}`` (text): where the model asks whose window
    it is.
    """

    schema: Schema
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...]
    entities: tuple[str, ...] | None = None  # None: the model does not ask whose window it is

    @classmethod
    def read(cls, directory: Path) -> Self:
        """From the data directory of either half."""
        schema = Schema.model_validate_json((directory / "schema.json").read_text())
        names = json.loads((directory / FEATURES).read_text())
        return cls(
            schema,
            *(tuple(names[part]) for part in ("past", "future", "static")),
            tuple(names["entities"]) if "entities" in names else None,
        )

    def texts(self) -> list[str]:
        return [f"entity__{key}" for key in self.entities or ()]

    def doubles(self) -> list[str]:
        past = [f"target__{name}__{k}" for k in self._back() for name in self.schema.targets]
        states = [
            f"known__{name}__{h}"
            for h in range(1, self.schema.horizon + 1)
            for name in self.schema.zero_when
        ]
        return [*past, *states]

    def floats(self) -> list[str]:
        past = [f"past__{name}__{k}" for k in self._back() for name in self.past]
        future = [
            f"future__{name}__{h}"
            for h in range(1, self.schema.horizon + 1)
            for name in self.future
        ]
        return [*past, *future, *(f"static__{name}" for name in self.static)]

    def answers(self) -> list[str]:
        """``{target}__{mean or q0.1 …}__{h}``, the columns of a forecast."""
        kinds = ["mean", *(f"q{q:g}" for q in self.schema.quantiles)]
        return [
            f"{t}__{kind}__{h}"
            for h in range(1, self.schema.horizon + 1)
            for t in self.schema.targets
            for kind in kinds
        ]

    def flatten(self, windows: Windows, known: Float64) -> pd.DataFrame:
        """``known``: ``[n, H, K]``, the known columns as they are stored."""
        n = len(windows)
        places = [self.schema.known.index(name) for name in self.schema.zero_when]
        states = known[:, :, places].reshape(n, -1)
        floats = np.concatenate(
            [windows.past.reshape(n, -1), windows.future.reshape(n, -1), windows.static], axis=1
        )
        doubles = pd.DataFrame(
            np.concatenate([windows.target_past.reshape(n, -1), states], axis=1),
            columns=self.doubles(),
        )
        parts = [doubles, pd.DataFrame(floats, columns=self.floats())]
        if self.entities:
            parts.append(pd.DataFrame(windows.entities, columns=self.texts()))
        return pd.concat(parts, axis=1)

    def restore(self, frame: pd.DataFrame) -> tuple[Windows, Float64]:
        """Columns in any order; raises DataError naming those that are missing or unknown.

        Returns:
            The windows, and ``[n, H, K]``: the known columns, NaN but for those of
            ``Schema.zero_when``.
        """
        expected = [*self.doubles(), *self.floats(), *self.texts()]
        if list(frame.columns) != expected:
            _check_names(self.schema.name, expected, list(frame.columns))
        n, back = len(frame), self.schema.context_length
        floats = frame[self.floats()].to_numpy(dtype=np.float32)
        split = np.cumsum([back * len(self.past), self.schema.horizon * len(self.future)])
        past, future, static = np.split(floats, split, axis=1)
        doubles = frame[self.doubles()].to_numpy(dtype=np.float64)
        target_past, states = np.split(doubles, [back * len(self.schema.targets)], axis=1)
        known = np.full((n, self.schema.horizon, len(self.schema.known)), np.nan)
        places = [self.schema.known.index(name) for name in self.schema.zero_when]
        known[:, :, places] = states.reshape(n, self.schema.horizon, len(places))
        windows = Windows(
            target_past.reshape(n, back, len(self.schema.targets)),
            past.reshape(n, back, len(self.past)),
            future.reshape(n, self.schema.horizon, len(self.future)),
            static,
            entities=(
                None if self.entities is None else frame[self.texts()].to_numpy(dtype=object)
            ),
        )
        return windows, known

    def _back(self) -> range:
        return range(1 - self.schema.context_length, 1)


def context_from_rows(rows: pd.DataFrame, schema: Schema) -> Context:
    """The rows that ``POST /predict`` takes, as a table.

    The columns are the static ones (text, number, boolean), ``event_timestamp``, the past and the
    known ones.

    ``event_timestamp``: datetimes or ISO text, UTC when it names no zone. With a context of one
    step and no known columns each row is a window of its own. Otherwise the consecutive rows of an
    entity are its history and its last ``context_length`` steps the window; where the schema has
    known columns, the rows after the origin hold them, with null in every past column. Raises
    DataError naming the column, entity or step that is wrong.
    """
    _check_names(
        schema.name, [*schema.static, TIME, *schema.past, *schema.known], list(rows.columns)
    )
    if not len(rows):
        raise DataError(f"pair '{schema.name}': no rows.")
    static, times = _texts(rows, schema), _times(rows, schema)
    past, known = _numbers(rows, schema.past, schema), _numbers(rows, schema.known, schema)
    ahead: Flags = np.full(len(rows), fill_value=bool(schema.known)) & np.isnan(past).all(axis=1)
    _check_nulls(past, ahead, schema)
    if schema.context_length == 1 and not schema.known:
        nothing = np.zeros((len(rows), schema.horizon, 0))
        return Context(
            times, past[:, None, :], nothing, static, [OK] * len(rows), [None] * len(rows)
        )
    keys = static[:, : len(schema.entity_keys)]
    starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1)))
    stops = np.append(starts[1:], len(rows))
    _check_steps(keys, times, starts, schema)
    origins = np.array(
        [_origin(ahead, int(a), int(b), keys, schema) for a, b in zip(starts, stops, strict=True)],
        dtype=np.int64,
    )
    n = len(origins)
    places = origins[:, None] + np.arange(1 - schema.context_length, 1)
    in_history = (places >= starts[:, None])[..., None]
    window = np.where(in_history, past[np.maximum(places, 0)], np.nan)
    future = (
        known[origins[:, None] + np.arange(1, schema.horizon + 1)]
        if schema.known
        else np.zeros((n, schema.horizon, 0))
    )
    return Context(times[origins], window, future, static[origins], [OK] * n, [None] * n)


def _check_names(pair: str, expected: list[str], names: list[str]) -> None:
    lacking, extra = (
        [c for c in expected if c not in names],
        [c for c in names if c not in expected],
    )
    parts = [f"missing {lacking}"] if lacking else []
    parts += [f"unknown {extra}"] if extra else []
    if parts:
        raise DataError(f"pair '{pair}': columns " + " and ".join(parts))


def _texts(rows: pd.DataFrame, schema: Schema) -> Objects:
    texts = np.empty((len(rows), len(schema.static)), dtype=object)
    where = f"pair '{schema.name}'"
    for i, column in enumerate(schema.static):
        texts[:, i] = (
            key_texts(rows[column], where)
            if column in schema.entity_keys
            else category_texts(rows[column])
        )
        null = np.equal(texts[:, i], None).astype(bool)  # type: ignore[call-overload]
        if null.any() and column not in schema.nullable:
            raise DataError(
                f"{where}: column '{column}' is null in row {int(null.argmax())}; it never "
                "was in training."
            )
    return texts


def _times(rows: pd.DataFrame, schema: Schema) -> Times:
    try:
        stamps = pd.to_datetime(rows[TIME], utc=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"pair '{schema.name}': {TIME} is not a time: {error}") from error
    if bool(stamps.isna().any()):
        raise DataError(
            f"pair '{schema.name}': {TIME} is null in row {int(stamps.isna().to_numpy().argmax())}."
        )
    times = np.asarray(stamps.dt.tz_localize(None).to_numpy(), "M8[us]")
    wrong = off_grid(schema, times)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"pair '{schema.name}': {TIME} of row {row}: {explain_off_grid(schema, times[row])}."
        )
    return times


def _numbers(rows: pd.DataFrame, columns: tuple[str, ...], schema: Schema) -> Float64:
    out = np.empty((len(rows), len(columns)))
    for i, column in enumerate(columns):
        try:
            out[:, i] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"pair '{schema.name}': column '{column}' is not numeric: {error}"
            ) from error
    return out


def _check_nulls(past: Float64, ahead: Flags, schema: Schema) -> None:
    for i, column in enumerate(schema.past):
        wrong = np.isnan(past[:, i]) & ~ahead
        if column not in schema.nullable and wrong.any():
            raise DataError(
                f"pair '{schema.name}': column '{column}' is null in row "
                f"{int(wrong.argmax())}; it never was in training."
            )


def _check_steps(keys: Objects, times: Times, starts: Rows, schema: Schema) -> None:
    if len({tuple(keys[s]) for s in starts}) < len(starts):
        order = [*schema.entity_keys, TIME]
        raise DataError(
            f"pair '{schema.name}': the rows of an entity must follow each other; sort by {order}."
        )
    inside = np.ones(len(times), dtype=bool)
    inside[starts] = False
    wrong = (
        np.flatnonzero(
            inside[1:] & (times[1:] != Frequency.parse(schema.frequency).shift(times[:-1], 1))
        )
        + 1
    )
    if len(wrong):
        row = int(wrong[0])
        expected = f"one step of {schema.frequency} after {times[row - 1]}"
        raise DataError(
            f"pair '{schema.name}': row {row} of {list(keys[row])} is at {times[row]}, "
            f"{expected} is needed."
        )


def _origin(ahead: Flags, start: int, stop: int, keys: Objects, schema: Schema) -> int:
    """The last row of the history in ``start:stop``."""
    origin = stop - 1
    while origin >= start and ahead[origin]:
        origin -= 1
    who, history = list(keys[start]), origin - start + 1
    if history < schema.needed_steps:
        raise DataError(
            f"pair '{schema.name}': {history} steps of history of {who}, "
            f"{schema.needed_steps} are needed."
        )
    steps = stop - 1 - origin
    if schema.known and steps < schema.horizon:
        raise DataError(
            f"pair '{schema.name}': {steps} rows of {list(schema.known)} after the origin "
            f"of {who}, {schema.horizon} are needed."
        )
    return origin
