"""Guesses what the columns of a table are: time, entity, targets, categories, known in advance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from framework.errors import ConfigError, DataError, suggest
from framework.interfaces.proposal import Guess
from framework.projects.clocks import ZONES, shown_twice

#: Words in names, the most telling first.
_TIMES = ("event_timestamp", "timestamp", "datetime", "date", "time", "ds", "day", "month", "week")
_TARGETS = (
    *("y", "target", "sales", "demand", "quantity", "qty", "units", "revenue", "orders"),
    *("load", "consumption", "kwh", "mwh", "count", "cnt", "value", "amount"),
    *("passengers", "visitors", "close", "volume", "price"),
)
_IDS = re.compile(r"(?i)(.*_)?(id|no|nr|code|key|store|shop|item|sku|series|unique_id)|.*Id")
_KEYS_AT_MOST = 4
_CANDIDATES_AT_MOST = 12
_CATEGORY_VALUES = 200


@dataclass(slots=True)
class Columns:
    """The knowledge about a table so far.

    Args:
        rows: The table, with the types that its source gives.
        decided: What a person has decided, by the name of the guess.
        guesses: What was guessed, in the order it was.
    """

    rows: pd.DataFrame
    decided: dict[str, Any]
    guesses: dict[str, Guess] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """Return what was decided or guessed."""
        return self.decided[name] if name in self.decided else self.guesses[name].value

    def needs(self, name: str) -> bool:
        """Say whether ``name`` is still to be guessed; a decision is checked against the columns.

        Raises:
            ConfigError: The table has no such column.
        """
        if name not in self.decided:
            return True
        value = self.decided[name]
        for column in [value] if isinstance(value, str) else value:
            if column not in self.rows.columns:
                known = [str(c) for c in self.rows.columns]
                raise ConfigError(
                    f"init.{name}: no column '{column}';{suggest(column, known)} The table has "
                    f"{', '.join(known)}."
                )
        return False

    def guess(self, name: str, value: Any, why: str, *, doubtful: bool = False) -> None:
        """Keep a guess."""
        self.guesses[name] = Guess(value, why, doubtful)

    def numbers(self) -> list[str]:
        """List the columns of numbers that may be used and hold anything."""
        return [
            name
            for name in self.usable()
            if pd.api.types.is_numeric_dtype(self.rows[name]) and self.rows[name].notna().any()
        ]

    def usable(self) -> list[str]:
        """List the columns that are neither time nor key, of those that were decided on."""
        roles = {self.value("time"), *self.value("entity")}
        names = [str(name) for name in self.rows.columns if name not in roles]
        decision = self.decided.get("columns", names)
        return [name for name in names if name in decision]


def guess_time(columns: Columns) -> None:
    """Guess the column of the times.

    Raises:
        DataError: No column is one of times.
    """
    rows = columns.rows
    times = [str(n) for n, v in rows.items() if pd.api.types.is_datetime64_any_dtype(v)]
    if not columns.needs("time"):
        if columns.value("time") not in times:
            name = columns.value("time")
            example = next(iter(rows[name].dropna()), None)
            raise DataError(
                f"init.time: column '{name}' is not read as a time, its first value is "
                f"{example!r}; say how it is written, +init.reading.date_format='%d/%m/%Y'."
            )
        return
    if not times:
        raise DataError(
            f"init.data: none of the columns {', '.join(map(str, rows.columns))} is one of times; "
            "say which is and how it is written, init.time=COLUMN "
            "+init.reading.date_format='%d/%m/%Y'."
        )
    whole = [name for name in times if rows[name].notna().all()] or times
    best = min(whole, key=lambda name: _rank(name, _TIMES))
    others = [name for name in times if name != best]
    if not others:
        columns.guess("time", best, "it is the only column of times")
    else:
        why = f"of the columns of times ({', '.join(times)}) it is the first with such a name"
        columns.guess("time", best, why, doubtful=True)


def _rank(name: str, words: Sequence[str]) -> int:
    """Say how early ``name``, or a part of it, stands in ``words``."""
    lower = name.lower()
    parts = set(re.split(r"[^a-z0-9]+", lower))
    for place, word in enumerate(words):
        if lower == word:
            return place
    for place, word in enumerate(words):
        if word in parts:
            return len(words) + place
    return 3 * len(words)


def guess_entity(columns: Columns) -> None:
    """Guess the fewest columns that tell the series apart: no time twice in a series.

    Raises:
        DataError: No columns do.
    """
    rows, time = columns.rows, columns.value("time")
    zone = columns.decided.get("time_zone")
    zones = ZONES if zone is None else (zone,)
    if not columns.needs("entity"):
        keys = columns.value("entity")
        if not _tells_apart(rows, time, keys, zones):
            raise _double(rows, time, keys, "init.entity: the columns do not")
        return
    if _tells_apart(rows, time, (), zones):
        columns.guess("entity", [], "no time stands in two rows: it is one series")
        return
    candidates = _key_candidates(rows, time)
    for size in range(1, _KEYS_AT_MOST + 1):
        fitting = [
            keys for keys in combinations(candidates, size) if _tells_apart(rows, time, keys, zones)
        ]
        if fitting:
            best = fitting[0]
            names = " and ".join(f"'{name}'" for name in best)
            series = _count(rows, best)
            why = f"no time stands twice for one value of {names}; they make {series:,} series"
            others = [keys for keys in fitting if not _same_series(rows, best, keys)]
            if others:
                why += f"; so would {' and '.join(others[0])}"
            columns.guess("entity", list(best), why, doubtful=bool(others))
            return
    raise _double(rows, time, candidates[:_KEYS_AT_MOST], "init.data: no columns")


def _double(rows: pd.DataFrame, time: str, keys: Sequence[str], what: str) -> DataError:
    double = rows[rows.duplicated([time, *keys], keep=False)].iloc[0]
    example = ", ".join(f"{name} {double[name]}" for name in (time, *keys))
    return DataError(
        f"{what} tell the rows of one time apart, such as two rows of {example}; name those that "
        "do, init.entity=[COLUMN], or make one row of a step and series of them first."
    )


def is_text(values: pd.Series) -> bool:
    """Say whether a column holds texts, and nothing else beside nulls."""
    if not isinstance(values.dtype, pd.CategoricalDtype) and values.dtype != object:
        return False
    return pd.api.types.infer_dtype(values, skipna=True) in ("string", "categorical")


def _count(rows: pd.DataFrame, keys: Sequence[str]) -> int:
    return int(rows.groupby(list(keys), dropna=False, observed=True).ngroups)


def _same_series(rows: pd.DataFrame, keys: Sequence[str], others: Sequence[str]) -> bool:
    """Say whether two choices of keys part the rows alike."""
    distinct = _count(rows, list(dict.fromkeys((*keys, *others))))
    return _count(rows, keys) == distinct == _count(rows, others)


def _key_candidates(rows: pd.DataFrame, time: str) -> list[str]:
    """List columns that may be keys: those with the name of one, then texts, then integers."""
    likely: list[tuple[int, int, str]] = []
    for place, (name, values) in enumerate(rows.items()):
        if name == time or values.isna().any() or values.nunique() < 2:
            continue
        has_id_name = _IDS.fullmatch(str(name)) is not None
        if is_text(values):
            likely.append((0 if has_id_name else 1, place, str(name)))
        elif pd.api.types.is_integer_dtype(values) and values.nunique() * 3 <= len(rows):
            likely.append((0 if has_id_name else 2, place, str(name)))
    return [name for *_, name in sorted(likely)][:_CANDIDATES_AT_MOST]


def _tells_apart(rows: pd.DataFrame, time: str, keys: Sequence[str], zones: Sequence[str]) -> bool:
    double = rows.duplicated([*keys, time])
    if not double.any():
        return True
    times = pd.DatetimeIndex(rows.loc[double, time])
    if times.tz is not None or rows.loc[double].duplicated([*keys, time]).any():
        return False
    return any(bool(shown_twice(times, zone).all()) for zone in zones)


def guess_targets(columns: Columns) -> None:
    """Guess what is forecast, and which columns are known in advance: those that have values in
    rows after the last actual.

    Raises:
        DataError: No column is one of numbers.
    """
    columns.needs("columns")
    numbers = columns.numbers()
    if not numbers:
        raise DataError(
            f"init.{'columns' if 'columns' in columns.decided else 'data'}: no column beside time "
            "and entity is one of numbers; say how they are written, such as "
            "+init.reading.decimal=','."
        )
    if columns.needs("targets"):
        _guess_target(columns, numbers)
    _check_numbers(columns, "targets", numbers)
    targets = list(columns.value("targets"))
    if columns.needs("known"):
        rows, time = columns.rows, columns.value("time")
        later = rows[rows[time] > _last(rows, time, targets)]
        known = [n for n in numbers if n not in targets and later[n].notna().any()]
        if known:
            why = (
                f"they have values in {len(later):,} rows after the last one of "
                f"{', '.join(targets)}"
            )
        else:
            why = (
                "no column has values after the last of the targets; list those whose values of "
                "the coming steps will be stored"
            )
        columns.guess("known", known, why)
    _check_numbers(columns, "known", numbers)


def _check_numbers(columns: Columns, name: str, numbers: Sequence[str]) -> None:
    for column in columns.value(name):
        if column not in numbers:
            raise ConfigError(
                f"init.{name}: column '{column}' is not one of numbers that are used; those are "
                f"{', '.join(numbers)}."
            )


def _last(rows: pd.DataFrame, time: str, names: Sequence[str]) -> pd.Timestamp:
    last: pd.Timestamp = rows.loc[rows[list(names)].notna().any(axis=1), time].max()
    return last


def _guess_target(columns: Columns, numbers: Sequence[str]) -> None:
    rows, time = columns.rows, columns.value("time")
    if len(numbers) == 1:
        columns.guess("targets", [numbers[0]], "it is the only column of numbers")
        return
    varied = [n for n in numbers if rows[n].nunique() > 2] or list(numbers)
    ends = {name: _last(rows, time, [name]) for name in varied}
    ending = [n for n in varied if ends[n] < rows[time].max()]
    best = min(ending or varied, key=lambda name: _rank(name, _TARGETS))
    has_target_name = _rank(best, _TARGETS) < 3 * len(_TARGETS)
    how = "its name" if has_target_name else "its place, the first"
    why = f"of {len(numbers)} columns of numbers ({', '.join(numbers[:8])}) it is chosen by {how}"
    if ending and len(ending) < len(varied):
        why = f"its values end before the last rows, as those of a target do; chosen by {how}"
    columns.guess("targets", [best], why, doubtful=not has_target_name)


def guess_features(columns: Columns) -> None:
    """Guess which columns are used, and which of them are categories."""
    rows = columns.rows
    roles = [columns.value("time"), *columns.value("entity")]
    texts = [name for name in columns.usable() if is_text(rows[name])]
    if columns.needs("categories"):
        few = [
            n
            for n in texts
            if 2 <= rows[n].nunique() <= min(_CATEGORY_VALUES, max(2, len(rows) // 3))
        ]
        counts = ", ".join(f"{n} ({rows[n].nunique()} values)" for n in few)
        columns.guess(
            "categories",
            few,
            f"texts of few values: {counts}" if few else "no column has texts of few values",
        )
    for column in columns.value("categories"):
        if column not in columns.usable():
            raise ConfigError(
                f"init.categories: column '{column}' is not among those that are used; those are "
                f"{', '.join(columns.usable())}."
            )
    if columns.needs("columns"):
        numbers = [n for n in columns.numbers() if not _is_constant(rows[n], n, columns)]
        features = [str(n) for n in rows.columns if n in {*numbers, *columns.value("categories")}]
        others = [str(n) for n in rows.columns if n not in {*features, *roles}]
        why = "numbers and categories"
        if others:
            why += f", without {', '.join(others)}: constant, empty, times, or many different texts"
        columns.guess("columns", features, why)


def _is_constant(values: pd.Series, name: str, columns: Columns) -> bool:
    if name in columns.value("targets") or name in columns.value("known"):
        return False
    return bool(np.asarray(values.nunique(dropna=False) < 2))
