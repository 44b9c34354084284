"""Numbers and times among the texts of a column. What can be read in two ways stays text until an
option says which one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import duckdb

from framework.errors import DataError
from framework_files.csv_files import literal, quoted
from framework_files.options import EPOCHS, Table

#: What a column is wanted as; None: as what it is.
Want = Literal["text", "number", "time"] | None
_SAMPLE = 200
_CLOCK = r"([T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?)?)?\s*"
_YEAR_FIRST = r"\s*\d{4}(-\d{1,2}(-\d{1,2})?|/\d{1,2}/\d{1,2}|\.\d{1,2}\.\d{1,2})" + _CLOCK
_YEAR_LAST = r"\s*\d{1,2}(/\d{1,2}/|\.\d{1,2}\.|-\d{1,2}-)(\d{4}|\d{2})" + _CLOCK
_BOOLEAN = r"(?i)\s*(true|false)\s*"
_GROUPED = r"\s*[+-]?[1-9]\d{0,2}(\.\d{3})+\s*"
_SHORT = r"\s*[+-]?\d{1,3}\s*"
#: The first second that has a year of five digits: milliseconds were taken for seconds.
_LAST = 253_402_300_800
_FORMATS_A_TIME = re.compile(r"%-?[HIMSpXcfgnzZ]|^epoch")
#: What a text that is no number looks like, and what to do about it.
_ADVICE = (
    (
        r"[+-]?\d{1,3}(,\d{3})+",
        "has a comma for decimals or for thousands; set {path}.decimal=',' or {path}.thousands=','",
    ),
    (r"[+-]?\d{1,3}(,\d{3})+\.\d*", "has commas between thousands; set {path}.thousands=','"),
    (
        r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?",
        "has dots between thousands; set {path}.decimal=',' and {path}.thousands='.'",
    ),
    (r"[+-]?\d*,\d+", "has a decimal comma; set {path}.decimal=','"),
    (
        r"[+-]?\d{1,3}((?P<sign>[\s'’_])\d{3})+(\.\d*)?",
        'has signs between thousands; set {path}.thousands="{sign}"',
    ),
    (
        r"[+-]?\d{1,3}((?P<sign>[\s'’_])\d{3})+,\d*",
        'has signs between thousands and a decimal comma; set {path}.thousands="{sign}" '
        "and {path}.decimal=','",
    ),
    (
        r"([^\w\s.,+-]|[A-Z]{1,3})\s*[+-]?\d[\d.,'\s]*|[+-]?\d[\d.,'\s]*([^\w\s.,]|[A-Za-z]{1,4})",
        "has a unit or a currency sign; take it off in a query, such as replace(COLUMN, '%', '')",
    ),
)
_NULLS = r"(?i)[-+]?(nan|inf|infinity)|n/?a|null|none|nil|-+|\?|\.+|#.*|missing|"


@dataclass(frozen=True, slots=True)
class Reading:
    """``sql``: an expression that gives the typed column. ``doubt``: why it is text, where
    something else was wanted or possible.
    """

    sql: str
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Reads the texts in the columns of ``table``, a quoted name.

    ``spec``: its options; ``path`` names them in messages. ``semicolons``: they part its fields, as
    where numbers have a decimal comma. ``warn``: takes a line about what is read in one of two
    ways.
    """

    connection: duckdb.DuckDBPyConnection
    table: str
    spec: Table
    path: str
    semicolons: bool
    warn: Callable[[str], None]

    def read(self, column: str, want: Want) -> Reading:
        """Say how the column is read: as the number or the time that every one of its texts is,
        else as text.

        Raises:
            DataError: A text of the column does not fit the format that is declared for it.
        """
        name = quoted(column)
        if want == "text" or column in self.spec.texts:
            return Reading(name)
        sample = self._texts(
            f"SELECT {name} FROM {self.table} WHERE {name} IS NOT NULL LIMIT {_SAMPLE}"  # noqa: S608
        )
        if not sample:
            return Reading(
                {"number": f"CAST({name} AS DOUBLE)", "time": f"CAST({name} AS TIMESTAMP)"}.get(
                    want or "", name
                )
            )
        number = _fits(sample, self.number)
        return self._declared(column, want, number) or self._undeclared(
            column, want, number, sample
        )

    def _undeclared(self, column: str, want: Want, number: bool, sample: Sequence[str]) -> Reading:
        name = quoted(column)
        if number:
            return self._as_number(column, want)
        if _fits(sample, _BOOLEAN) and self._all(name, _BOOLEAN):
            return Reading(f"CAST(trim({name}) AS BOOLEAN)")
        if _fits(sample, _YEAR_FIRST) and self._all(name, _YEAR_FIRST):
            return self._as_time(column, f"trim({name})")
        if _fits(sample, _YEAR_LAST) and self._all(name, _YEAR_LAST):
            return self._year_last(column)
        return Reading(name, self._reason(column, want) if want else "")

    @property
    def number(self) -> str:
        """The pattern of a number: groups of three digits, if any, are whole."""
        decimal = re.escape(self._decimal)
        grouped = (
            rf"\d{{1,3}}({_group(self.spec.thousands)}\d{{3}})+|" if self.spec.thousands else ""
        )
        return rf"\s*[+-]?(({grouped}\d+)({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?\s*"

    @property
    def _decimal(self) -> str:
        return self.spec.decimal or ("," if self.spec.thousands == "." else ".")

    def _as_number(self, column: str, want: Want) -> Reading:
        name = quoted(column)
        undeclared = self.spec.decimal is None and self.spec.thousands is None
        whole = f"try_cast({name} AS BIGINT)"
        if undeclared and not self._counts(f"CAST({whole} AS VARCHAR) IS DISTINCT FROM {name}")[0]:
            return Reading(f"CAST({name} AS BIGINT)")  # most columns, and quickly seen
        if not self._all(name, self.number):
            return Reading(name, self._reason(column, want) if want else "")
        plain = f"trim({name})"
        if self.spec.thousands:
            plain = f"regexp_replace({plain}, {literal(_group(self.spec.thousands))}, '', 'g')"
        if self._decimal == ",":
            plain = f"replace({plain}, ',', '.')"
        fractions, long, zeros, dotted = self._counts(
            f"regexp_full_match({plain}, '.*[.eE].*')",
            f"regexp_full_match({plain}, '[+-]?\\d{{19,}}')",
            f"regexp_full_match({plain}, '[+-]?0\\d.*')",
            f"contains({name}, '.')",
        )
        if dotted and undeclared and self._all(name, f"{_GROUPED}|{_SHORT}"):
            doubt = self._thousands(column)
            if doubt:
                return Reading(name, doubt)
        if want is None and (zeros or (long and not fractions)):
            return Reading(name)  # an id: as a number it would lose its zeros or its last digits
        return Reading(f"CAST({plain} AS {'DOUBLE' if fractions or long or zeros else 'BIGINT'})")

    def _thousands(self, column: str) -> str:
        """Of numbers all of which have three digits behind the dot: why they are in doubt; empty,
        after a warning, where it is unlikely.
        """
        example = self._first(f"contains({quoted(column)}, '.')", column)
        options = f"set {self.path}.decimal='.' or {self.path}.thousands='.'"
        if self.semicolons or self._counts(f"NOT contains({quoted(column)}, '.')")[0]:
            readings = f"{float(example):g} or {example.strip().replace('.', '')}"
            return (
                f"'{example}' is {readings}, for every number with a dot has three digits behind "
                f"it; {options}"
            )
        doubt = (
            f"every number of column '{column}' has three digits behind a dot, such as "
            f"'{example}'; they are read as decimals"
        )
        self.warn(f"{self.path}: {doubt}; {options} if that is so, or not")
        return ""

    def _year_last(self, column: str) -> Reading:
        name = quoted(column)
        text = f"trim({name})"
        parts = [
            f"regexp_extract({text}, '^(\\d+)[/.-](\\d+)[/.-](\\d+)', {group})"
            for group in (1, 2, 3)
        ]
        a, b, short = self._counts(
            f"CAST({parts[0]} AS INT) > 12",
            f"CAST({parts[1]} AS INT) > 12",
            f"length({parts[2]}) < 4",
        )
        example = self._first("true", column)
        options = f"set {self.path}.date_format, such as '{_format_of(example)}'"
        if short:
            return Reading(name, f"'{example}' has a year of two digits; {options}")
        if bool(a) == bool(b):
            why = "is day first and month first in turn" if a else "fits day first and month first"
            ways = f"{options} or '{_format_of(example, month_first=True)}'"
            return Reading(
                name,
                f"'{self._first('true', column)}' {why} (no row of the column says which); {ways}"
                if not a
                else f"{why}; {ways}",
            )
        if isinstance(self.spec.date_format, str):
            return Reading(
                name,
                f"'{example}' does not fit '{self.spec.date_format}'; mend {self.path}.date_format",
            )
        day, month = (parts[0], parts[1]) if a else (parts[1], parts[0])
        rest = f"regexp_replace({text}, '^\\d+[/.-]\\d+[/.-]\\d+', '')"
        return self._as_time(column, f"concat({parts[2]}, '-', {month}, '-', {day}, {rest})")

    def _as_time(self, column: str, text: str) -> Reading:
        """``text``: an expression that gives the year, then month, day and the time of day."""
        name = quoted(column)
        zoned, clock, slashed, months, minutes = self._counts(
            f"regexp_matches({name}, ':\\d+(\\.\\d+)?\\s*(Z|z|UTC|GMT|[+-].*)$')",
            f"contains({name}, ':')",
            f"substr({text}, 5, 1) <> '-'",
            f"length({text}) < 8",
            f"regexp_matches({text}, '[T ]\\d{{1,2}}:\\d{{2}}(\\s*([Zz]|UTC|GMT|[+-].*))?$')",
        )
        dashed = (
            f"regexp_replace({text}, '^(\\d{{4}})[/.](\\d{{1,2}})[/.]', '\\1-\\2-')"
            if slashed
            else text
        )
        dashed = (
            f"regexp_replace({dashed}, '^(\\d{{4}}-\\d{{1,2}})$', '\\1-01')" if months else dashed
        )
        seconds = (
            f"regexp_replace({dashed}, '([T "
            f"]\\d{{1,2}}:\\d{{2}})(\\s*([Zz]|UTC|GMT|[+-].*))?$', '\\1:00\\2')"
        )
        dashed = seconds if minutes else dashed
        kind = "TIMESTAMPTZ" if zoned else "TIMESTAMP" if clock else "DATE"
        wrong = f"try_cast({dashed} AS {kind}) IS NULL"
        if self._counts(f"{wrong} AND {name} IS NOT NULL")[0]:
            return Reading(
                name, f"'{self._first(wrong, column)}' is no day or no time of day; mend it"
            )
        return Reading(f"CAST({dashed} AS {kind})")

    def _declared(self, column: str, want: Want, number: bool) -> Reading | None:
        """As ``date_format`` says. None: it says nothing of this column, or is for the whole table
        and no text of this column fits it.
        """
        formats = self.spec.date_format
        by_column = isinstance(formats, dict)
        pattern = formats.get(column) if isinstance(formats, dict) else formats
        if pattern is None or (number and want != "time" and not by_column):
            return None
        name = quoted(column)
        parsed = _parsed(name, pattern)
        misfit = f"{name} IS NOT NULL AND ({parsed} IS NULL OR year({parsed}) < 1000)"
        try:
            all_texts, misfits = self._counts(f"{name} IS NOT NULL", misfit)
        except duckdb.Error as error:
            reason = " ".join(str(error).partition(":")[2].split())
            raise DataError(
                f"{self.path}.date_format: '{pattern}' is no format of a date: {reason}"
            ) from error
        if misfits == all_texts and not by_column:
            return None
        if misfits:
            raise DataError(
                f"{self.path}.date_format: '{self._first(misfit, column)}' in column "
                f"'{column}' does not fit '{pattern}' "
                f"({misfits:,} of {all_texts:,} rows); mend the row or the format."
            )
        whole_days = not any(map(_FORMATS_A_TIME.search, formats_of(pattern)))
        return Reading(f"CAST({parsed} AS DATE)" if whole_days else parsed)

    def _reason(self, column: str, want: Want) -> str:
        """Why the column is text, by the first text of it that is no number, or no time."""
        name = quoted(column)
        if want == "time":
            example = self._first("true", column)
            return (
                f"'{example}' is no ISO 8601 time; set {self.path}.date_format, such as "
                "'%d/%m/%Y', or cast it in a query"
            )
        no_number = f"NOT regexp_full_match({name}, {literal(self.number)})"
        example = self._first(no_number, column)
        numbers, others, kinds = self._counts(
            f"regexp_full_match({name}, {literal(self.number)})",
            no_number,
            distinct=f"CASE WHEN {no_number} THEN {name} END",
        )
        return f"'{example}' {self._advice(example, bool(numbers) and kinds <= 3 and others > 0)}"

    def _advice(self, example: str, few: bool) -> str:
        """Advise what to do about a text that is no number; ``few``: it is one of few such texts
        beside numbers.
        """
        text, path = example.strip(), self.path
        for pattern, advice in _ADVICE:
            match = re.fullmatch(pattern, text)
            if match:
                sign = next((c for c in match.groupdict().get("sign") or ""), "")
                return advice.format(path=path, sign=" " if sign.isspace() else sign)
        if few or re.fullmatch(_NULLS, text):
            return f"is no number; if it means null, add it to {path}.null_values"
        return "is no number; mend it, or list the column under categories"

    def _texts(self, query: str) -> list[str]:
        return [row[0] for row in self.connection.execute(query).fetchall()]

    def _all(self, name: str, pattern: str) -> bool:
        return not self._counts(f"NOT regexp_full_match({name}, {literal(pattern)})")[0]

    def _counts(self, *conditions: str, distinct: str | None = None) -> list[int]:
        counts = [f"count_if({condition})" for condition in conditions] + (
            [f"count(DISTINCT {distinct})"] if distinct else []
        )
        row = self.connection.execute(f"SELECT {', '.join(counts)} FROM {self.table}").fetchone()  # noqa: S608
        return [int(value or 0) for value in row or ()]

    def _first(self, condition: str, column: str) -> str:
        name = quoted(column)
        texts = self._texts(
            f"SELECT {name} FROM {self.table} WHERE {name} IS NOT NULL AND ({condition}) LIMIT 1"  # noqa: S608
        )
        return str(texts[0])[:60] if texts else ""


def _fits(texts: Sequence[str], pattern: str) -> bool:
    return all(re.fullmatch(pattern, text) for text in texts)


@cache
def _group(sign: str) -> str:
    """The pattern of the sign between thousands; a blank may be one that does not break the
    line.
    """
    return "[ \u00a0\u202f\u2009]" if sign == " " else "['’]" if sign in "'’" else re.escape(sign)


def formats_of(pattern: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return one format, or several, as a tuple."""
    return (pattern,) if isinstance(pattern, str) else pattern


def _parsed(name: str, pattern: str | tuple[str, ...]) -> str:
    """An expression that gives the time of a text, null where it does not fit."""
    if isinstance(pattern, str) and pattern in EPOCHS:
        count, last = f"try_cast(trim({name}) AS DECIMAL(28, 6))", _LAST * EPOCHS[pattern]
        microseconds = f"CAST({count} * {1_000_000 // EPOCHS[pattern]} AS BIGINT)"
        return f"CASE WHEN abs({count}) < {last} THEN make_timestamp({microseconds}) END"
    formats = ", ".join(map(literal, formats_of(pattern)))
    return f"try_strptime(trim({name}), [{formats}])"


def _format_of(example: str, *, month_first: bool = False) -> str:
    """A format that fits the example, as far as its day, month and year go."""
    sign = next((c for c in example if c in "/.-"), "/")
    year = "%Y" if re.match(r"\s*\d+[/.-]\d+[/.-]\d{4}", example) else "%y"
    clock = {0: "", 1: " %H:%M"}.get(example.count(":"), " %H:%M:%S")
    return sign.join(["%m", "%d", year] if month_first else ["%d", "%m", year]) + clock
