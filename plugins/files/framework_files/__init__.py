"""``source=files``, ``retrieval=file`` and ``retrieval=payload``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class Table(Options):
    """How one table is made of the files. ``query``: DuckDB SQL over their aliases (time zone UTC),
    null for the file named like the table.

    ``rename``: ``{column: new name}``. ``order_by``: sorts the result; a file that is sorted
    already needs none.

    The other options say how the CSV file named like the table is read. ``delimiter``: between
    fields, null for the one in the first line. ``encoding``: such as ``cp1252`` or ``utf-16``, null
    for UTF-8. ``decimal`` and ``thousands``: the signs in numbers. ``null_values``: instead of the
    source's. ``date_format``: such as ``%d/%m/%Y`` or ``%d.%m.%Y %H:%M``, for every column that is
    written so, or ``{column: format}``. ``texts``: columns that are read as they are written; keys
    and categories always are.
    """

    query: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)
    order_by: tuple[str, ...] = ()
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Annotated[str, Field(pattern=r"^[.,]$")] | None = None
    thousands: Annotated[str, Field(pattern=r"^[.,'’ _]$")] | None = None
    null_values: tuple[str, ...] | None = None
    date_format: str | dict[str, str] | None = None
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

    @field_validator("date_format")
    @classmethod
    def _whole_dates(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for text in [value] if isinstance(value, str) else (value or {}).values():
            if "%" not in text:
                raise ValueError(
                    f"'{text}' is no format; %d, %m and %Y stand for day, month and year, "
                    "such as %d/%m/%Y"
                )
        return value

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
    that decide what stands between its fields, -1 for all.
    """

    files: dict[str, str]
    tables: dict[str, Table] = Field(default_factory=dict)
    null_values: tuple[str, ...] = ("",)
    sample_size: int = 100_000

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


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "source",
            "files",
            "framework_files.source:FilesSource",
            FilesOptions,
            "CSV and Parquet files, shaped by SQL",
        ),
        Component(
            "retrieval",
            "file",
            "framework_files.file:FileRetrieval",
            FileOptions,
            "Parquet files, no feature store",
        ),
        Component(
            "retrieval",
            "payload",
            "framework_files.payload:PayloadRetrieval",
            summary="features come with the request",
        ),
    ]
