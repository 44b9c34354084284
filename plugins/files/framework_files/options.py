"""Options of ``source=files`` and ``retrieval=file``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, PositiveInt, field_validator, model_validator

from framework.options import Options

#: Formats of numbers that are times: how many of them a second has.
EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}


class Table(Options):
    """The way from the files to one table. ``query``: DuckDB SQL over their aliases (time zone
    UTC), null for the file named like the table.

    ``rename``: ``{column: new name}``. ``order_by``: sorts the result, for a query over it; what
    is ingested is sorted anyway. ``time_zone``: of the clock that its times without an offset are
    read from, such as ``Europe/Berlin``; null for UTC, and dates stay dates. ``ambiguous``: which
    hour a local time is of that the clock shows twice and a series has once, ``first`` or
    ``second``; null refuses it.

    The other options say how the CSV file named like the table is read. ``delimiter``: between
    fields, null for the one in the first line. ``encoding``: such as ``cp1252`` or ``utf-16``, null
    for UTF-8. ``decimal`` and ``thousands``: the signs in numbers. ``null_values``: instead of the
    source's. ``date_format``: such as ``%d/%m/%Y`` or ``%d.%m.%Y %H:%M``, or ``epoch_s`` or
    ``epoch_ms`` for seconds or milliseconds since 1970, for every column that is written so, a list
    of such formats, or ``{column: format}``. ``texts``: columns that are read as they are written;
    keys and categories always are.
    """

    query: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)
    order_by: tuple[str, ...] = ()
    time_zone: str | None = None
    ambiguous: Literal["first", "second"] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Annotated[str, Field(pattern=r"^[.,]$")] | None = None
    thousands: Annotated[str, Field(pattern=r"^[.,'’ _]$")] | None = None
    null_values: tuple[str, ...] | None = None
    date_format: str | tuple[str, ...] | dict[str, str] | None = None
    texts: tuple[str, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            "".encode(value or "utf-8")
        except LookupError:
            raise ValueError(
                "no such encoding; utf-8, cp1252, latin-1 and utf-16 are common"
            ) from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("no time zone, such as Europe/Berlin or America/New_York")
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_dates(
        cls, value: str | tuple[str, ...] | dict[str, str] | None
    ) -> str | tuple[str, ...] | dict[str, str] | None:
        texts = (value,) if isinstance(value, str) else value or ()
        for text in texts.values() if isinstance(texts, dict) else texts:
            if "%" not in text and text not in EPOCHS:
                raise ValueError(
                    f"'{text}' is no format; %d, %m and %Y stand for day, month and year, "
                    "such as %d/%m/%Y; epoch_s and epoch_ms for seconds and milliseconds since 1970"
                )
        if isinstance(value, tuple) and {*value} & {*EPOCHS}:
            raise ValueError("a list is of formats with % alone; epoch_s and epoch_ms stand alone")
        return value

    @model_validator(mode="after")
    def _ambiguous_needs_a_zone(self) -> Table:
        if self.ambiguous is not None and self.time_zone is None:
            raise ValueError("ambiguous is about the clock of a time_zone, and there is none")
        return self

    @model_validator(mode="after")
    def _signs_differ(self) -> Table:
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError("decimal and thousands are the same sign")
        return self

    def reading(self) -> tuple[str, ...]:
        """Return the names of the options that say how the file is read, as far as they are
        given.
        """
        names = (
            "delimiter",
            "encoding",
            "decimal",
            "thousands",
            "null_values",
            "date_format",
            "texts",
        )
        return tuple(name for name in names if getattr(self, name) not in (None, ()))


class FilesOptions(Options):
    """``files``: ``{alias: place}``: a file, a directory, a glob, or ``package://name/path`` for a
    file inside an installed package.

    CSV (plain, ``.gz``, ``.zip``) or Parquet; folders named ``key=value`` (Hive) give a column.
    ``null_values``: texts of a CSV that mean null. ``sample_size``: lines of a CSV after the first
    that decide what stands between its fields, -1 for all. ``tables``: by the name that the views
    have, how each is read. ``chunk``: rows of whole series that an ingestion has in memory at a
    time.
    """

    files: dict[str, str]
    tables: dict[str, Table] = Field(default_factory=dict)
    null_values: tuple[str, ...] = ("",)
    sample_size: int = 100_000
    chunk: PositiveInt = 500_000

    @model_validator(mode="after")
    def _tables_have_files(self) -> FilesOptions:
        for name, table in self.tables.items():
            if name in self.files:
                continue
            known = f"files are {sorted(self.files)}"
            if table.query is None:
                raise ValueError(f"tables.{name} has no query and no file of that name; {known}")
            if table.reading():
                raise ValueError(
                    f"tables.{name}.{table.reading()[0]} says how the file '{name}' is "
                    f"read, and there is none; {known}"
                )
        return self


class FileOptions(Options):
    """``state``: the folder of the Parquet files, one for each view."""

    state: Path = Path("${paths.state}/offline")
