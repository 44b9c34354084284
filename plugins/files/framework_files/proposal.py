"""Proposes how files are read that nobody has described: by the readers of the source itself, with
the options that make the most columns numbers or times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.interfaces.proposal import Guess, Proposal
from framework.options import validate
from framework_files.columns import Columns
from framework_files.csv_files import literal, quoted
from framework_files.options import FilesOptions, Table
from framework_files.places import find_files
from framework_files.source import FilesSource

#: Signs of numbers that are tried, the usual ones first.
_SIGNS: tuple[dict[str, str], ...] = (
    {},
    {"decimal": "."},
    {"decimal": ","},
    {"thousands": ","},
    {"decimal": ",", "thousands": "."},
    {"thousands": "'"},
    {"thousands": " "},
    {"decimal": ",", "thousands": " "},
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y"),
    *("%B %d, %Y", "%d %B %Y", "%b %Y", "%B %Y", "%Y%m%d", "%m/%Y"),
)
#: Names of columns of integers that may be times.
_TIME_NAME = re.compile(r"(?i).*(date|time|stamp|epoch|unix|day|month|year|period|^ds$|^ts$|^t$).*")
#: Texts beside numbers that stand for a value that is missing.
_NULLS = re.compile(r"(?i)na|n/a|#n/a|nan|null|none|nil|-+|\?|\.+|missing|unknown|")
#: Times between which a year of the present and near past lies.
_YEARS = (1900, 2100)
_SAMPLE = 5000
#: Another name of the column of times while it is looked at.
_AS_WRITTEN = "framework_time"


class FilesProposal(Proposal):
    """One table of one place."""

    def __init__(
        self, table: str, place: str, reading: dict[str, Any], guesses: Mapping[str, Guess]
    ) -> None:
        super().__init__("files", table, guesses)
        self.place, self.reading = place, reading

    def rows(self) -> pd.DataFrame:
        rows = _source(self.table, self.place, self.reading).read(self.table)
        if TIME not in rows.columns:
            return rows
        # by that name the source gives UTC, and whether the texts have an offset does not show
        reading = {**self.reading, "rename": {TIME: _AS_WRITTEN}}
        rows = _source(self.table, self.place, reading).read(self.table)
        return rows.rename(columns={_AS_WRITTEN: TIME})

    def options(self, rename: Mapping[str, str], time_zone: str | None) -> dict[str, Any]:
        spec: dict[str, Any] = {"rename": dict(rename)} if rename else {}
        spec |= {} if time_zone is None else {"time_zone": time_zone}
        spec |= self.reading
        tables = {"tables": {self.table: spec}} if spec else {}
        return {"files": {self.table: self.place}, **tables}


def propose(place: str, table: str | None, reading: Mapping[str, Any]) -> FilesProposal | None:
    """Propose how files are read, as the hook ``propose_source`` says."""
    if re.match(r"\w+(\+\w+)?://", place) and not place.startswith("package://"):
        return None
    name = table or _name(place)
    find_files(name, place)
    guesses: dict[str, Guess] = {}
    decisions = dict(reading)
    _encoding(name, place, decisions, guesses)
    source = _source(name, place, decisions)
    columns = source.texts(name)
    if columns is None:
        return FilesProposal(name, place, decisions, guesses)
    spec = columns.spec
    _nulls(columns, decisions, guesses)
    if not {"decimal", "thousands"} & decisions.keys():
        _signs(columns, decisions, guesses)
    if "date_format" not in decisions:
        _dates(columns, spec, decisions, guesses)
    return FilesProposal(name, place, decisions, guesses)


def _name(place: str) -> str:
    """Make a name of a table: the file's without its endings, or the folder's of a glob."""
    path = Path(place)
    while "*" in path.name or "?" in path.name or "=" in path.name:
        path = path.parent
    word = re.sub(r"\W+", "_", path.name.split(".")[0]).strip("_").lower()
    return word if word and not word[0].isdigit() else f"data_{word}".rstrip("_")


def _source(table: str, place: str, reading: Mapping[str, Any]) -> FilesSource:
    tables = {"tables": {table: dict(reading)}} if reading else {}
    node = {"files": {table: place}, **tables}
    return FilesSource(validate(FilesOptions, node, "source"))


def _encoding(table: str, place: str, decisions: dict[str, Any], guesses: dict[str, Guess]) -> None:
    """Decide the encoding of files that are not UTF-8."""
    if "encoding" in decisions:
        return
    for encoding, why in (
        (None, ""),
        ("utf-16", "the file is UTF-16"),
        ("cp1252", "the file is not UTF-8; this is the usual encoding of western Europe"),
    ):
        reading = decisions if encoding is None else {**decisions, "encoding": encoding}
        try:
            _source(table, place, reading).texts(table)
        except DataError as error:
            if "UTF-" not in str(error) and encoding is None:
                raise
            continue
        if encoding is not None:
            decisions["encoding"] = encoding
            guesses["encoding"] = Guess(encoding, why, encoding == "cp1252")
        return
    _source(table, place, decisions).texts(table)  # says what is wrong


def _is_text(columns: Columns, spec: Table, column: str) -> bool:
    reader = Columns(columns.connection, columns.table, spec, columns.path, False, _silent)
    return reader.read(column, None).sql == quoted(column)


def _silent(line: str) -> None:
    """Take a warning about a reading that is only tried."""


def _names(columns: Columns) -> list[str]:
    rows = columns.connection.execute(f"DESCRIBE {columns.table}").fetchall()
    return [str(row[0]) for row in rows]


def _values(columns: Columns, column: str) -> list[str]:
    rows = columns.connection.execute(
        f"SELECT {quoted(column)}, count(*) FROM {columns.table} "  # noqa: S608  quoted
        f"WHERE {quoted(column)} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_SAMPLE}"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _nulls(columns: Columns, decisions: dict[str, Any], guesses: dict[str, Guess]) -> None:
    """Decide which texts stand for null: the usual ones that stand between numbers."""
    if "null_values" in decisions:
        return
    nulls: dict[str, str] = {}
    for column in _names(columns):
        values = _values(columns, column)
        others = [v for v in values if not re.fullmatch(r"\s*[+-]?[\d.,' ]*\d[\d.,' ]*%?\s*", v)]
        null_texts = [v for v in others if _NULLS.fullmatch(v.strip())]
        if null_texts and null_texts == others and len(values) > len(others):
            nulls |= dict.fromkeys(null_texts, column)
    if nulls:
        texts, first = ", ".join(f"'{text}'" for text in nulls), next(iter(nulls.values()))
        decisions["null_values"] = ["", *(text for text in nulls if text)]
        guesses["null_values"] = Guess(
            decisions["null_values"], f"{texts} stands between numbers in '{first}'"
        )


def _signs(columns: Columns, decisions: dict[str, Any], guesses: dict[str, Guess]) -> None:
    """Decide the signs in numbers: those with which the most columns are numbers."""
    nulls = {str(value) for value in decisions.get("null_values", ("",))}
    looks = [
        name
        for name in _names(columns)
        if any(v not in nulls for v in _values(columns, name)[:50])
        and all(
            re.fullmatch(r"\s*[+-]?\d[\d.,'’ \u00a0\u202f]*\s*", v)
            for v in _values(columns, name)[:200]
            if v not in nulls
        )
    ]
    scores = [sum(_reads(columns, name, signs, nulls) for name in looks) for signs in _SIGNS]
    # between commas a number with a comma is in quotes, and then a spreadsheet wrote thousands
    usual = {"decimal": ","} if columns.semicolons else {"thousands": ","}
    if not any("," in v for name in looks for v in _values(columns, name)):
        usual = {"decimal": "."}
    order = sorted(range(len(_SIGNS)), key=lambda place: _SIGNS[place] != usual)
    best = max(order, key=lambda place: scores[place])
    if not _SIGNS[best] or scores[best] == scores[0]:
        return
    name = next(
        n
        for n in looks
        if _reads(columns, n, _SIGNS[best], nulls) and not _reads(columns, n, {}, nulls)
    )
    example = next(v for v in _values(columns, name) if v not in nulls)
    for key, sign in _SIGNS[best].items():
        decisions[key] = sign
        doubtful = any(
            score == scores[best] and signs.get("decimal") != _SIGNS[best].get("decimal")
            for score, signs in zip(scores, _SIGNS, strict=True)
        )
        guesses[key] = Guess(sign, f"'{name}' has texts such as '{example}'", doubtful)


def _reads(columns: Columns, name: str, signs: Mapping[str, str], nulls: set[str]) -> bool:
    """Say whether a column is one of numbers with these signs."""
    whole = [v for v in _values(columns, name) if v not in nulls]
    spec = Table(**signs)
    reader = Columns(columns.connection, "(tried)", spec, columns.path, False, _silent)
    pattern = reader.number
    if not all(re.fullmatch(pattern, v) for v in whole):
        return False
    if signs.get("decimal", ".") == "." and not signs:
        # 1.234 beside 12: thousands or decimals; a comma elsewhere in the table tells
        return not (
            any("." in v for v in whole)
            and all(re.fullmatch(r"\s*[+-]?[1-9]\d{0,2}(\.\d{3})*\s*", v) for v in whole)
        )
    return True


def _dates(
    columns: Columns, spec: Table, decisions: dict[str, Any], guesses: dict[str, Guess]
) -> None:
    """Decide the formats of the columns that are times in another way than ISO 8601."""
    formats: dict[str, str] = {}
    trial = spec.model_copy(update={k: v for k, v in decisions.items() if k in Table.model_fields})
    for name in _names(columns):
        values = _values(columns, name)
        fits = _number_format(name, values)
        if fits is None and values and _is_text(columns, trial, name):
            fits = _text_format(columns, name, values)
        if fits is not None:
            formats[name] = str(fits.value)
            guesses[f"date_format.{name}"] = fits
    if formats:
        decisions["date_format"] = formats


def _number_format(name: str, values: Sequence[str]) -> Guess | None:
    """Guess how integers are times, where the column's name says that they are."""
    if not values or not _TIME_NAME.fullmatch(name):
        return None
    if not all(re.fullmatch(r"\d{4,13}", v) for v in values):
        return None
    numbers = [int(v) for v in values]
    low, high = min(numbers), max(numbers)
    if _YEARS[0] <= low <= high <= _YEARS[1] and re.search("(?i)year|^ds$|date|period", name):
        return Guess("%Y", f"the integers of '{name}' from {low} to {high} are years")
    for pattern, what in (("%Y%m%d", "days written without signs"), ("%Y%m", "months")):
        if all(_parses(v, pattern) for v in values):
            return Guess(pattern, f"the integers of '{name}' such as {values[0]} are {what}")
    for pattern, unit in (("epoch_s", 1), ("epoch_ms", 1000)):
        if 3e8 * unit <= low <= high <= 4.1e9 * unit:
            what = "seconds" if unit == 1 else "milliseconds"
            return Guess(pattern, f"the integers of '{name}' are {what} since 1970")
    return None


def _parses(text: str, pattern: str) -> bool:
    if len(text) != {"%Y%m%d": 8, "%Y%m": 6}[pattern]:
        return False
    year, month = int(text[:4]), int(text[4:6])
    day = int(text[6:] or 1)
    return _YEARS[0] <= year <= _YEARS[1] and 1 <= month <= 12 and 1 <= day <= 31


def _text_format(columns: Columns, name: str, values: Sequence[str]) -> Guess | None:
    """Guess the format of texts: of those that fit all of them, the one in which their distances
    are the most alike.
    """
    fitting = [p for p in _patterns(values[0]) if _fits(columns, name, p)]
    if not fitting:
        return None
    if len(fitting) == 1:
        return Guess(fitting[0], f"every text of '{name}' fits, such as '{values[0]}'")
    distances = {pattern: _distances(columns, name, pattern) for pattern in fitting}
    best = min(fitting, key=lambda pattern: distances[pattern])
    others = [p for p in fitting if p != best]
    why = (
        f"'{values[0]}' fits {', '.join(fitting)}; read as {best} the times of '{name}' are "
        f"{distances[best]} different distances apart, as {others[0]} {distances[others[0]]}"
    )
    return Guess(best, why, distances[best] * 2 > min(distances[p] for p in others))


def _patterns(example: str) -> Iterator[str]:
    clocks = [c for c in _CLOCKS if c.count(":") == example.count(":")]
    for day in _DAYS:
        for clock in clocks:
            yield day + clock


def _fits(columns: Columns, name: str, pattern: str) -> bool:
    time = f"try_strptime(trim({quoted(name)}), {literal(pattern)})"
    row = columns.connection.execute(
        f"SELECT count_if({time} IS NULL OR year({time}) NOT BETWEEN {_YEARS[0]} AND {_YEARS[1]}) "  # noqa: S608
        f"FROM {columns.table} WHERE {quoted(name)} IS NOT NULL"
    ).fetchone()
    return row is not None and row[0] == 0


def _distances(columns: Columns, name: str, pattern: str) -> int:
    """Count the different distances between neighbouring times, months and days apart."""
    rows = columns.connection.execute(
        f"SELECT DISTINCT try_strptime(trim({quoted(name)}), {literal(pattern)}) AS t "  # noqa: S608
        f"FROM {columns.table} WHERE {quoted(name)} IS NOT NULL ORDER BY t"
    ).fetchall()
    times = pd.DatetimeIndex([row[0] for row in rows])
    steps = times.to_period("M").astype("int64") if (times.day == 1).all() else times
    return int(pd.Series(steps).diff().dropna().nunique())
