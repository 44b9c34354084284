"""``source=files``, ``retrieval=file`` and ``retrieval=payload``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options


class Table(Options):
    """How one table is made of the files. ``query``: DuckDB SQL over their aliases (time zone UTC), null for the file named like the table.

    ``rename``: ``{column: new name}``. ``order_by``: sorts the result; a file that is sorted already needs none.
    """

    query: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)
    order_by: tuple[str, ...] = ()


class FilesOptions(Options):
    """``files``: ``{alias: place}``: a file, a directory, a glob, or ``package://name/path`` for a file inside an installed package.

    CSV (plain, ``.gz``, ``.zip``) or Parquet; folders named ``key=value`` (Hive) give a column.
    ``null_values``: texts of a CSV that mean null.
    ``sample_size``: rows of a CSV that decide the types of its columns, -1 for all: slower, for a file whose later rows differ.
    """

    files: dict[str, str]
    tables: dict[str, Table] = Field(default_factory=dict)
    null_values: tuple[str, ...] = ("",)
    sample_size: int = 100_000

    @model_validator(mode="after")
    def _tables_have_files(self) -> FilesOptions:
        for name, table in self.tables.items():
            if table.query is None and name not in self.files:
                raise ValueError(f"tables.{name} has no query and no file of that name; files are {sorted(self.files)}")
        return self


class FileOptions(Options):
    """``state``: the folder of the Parquet files, one for each view."""

    state: Path = Path("${paths.state}/offline")


@hookimpl
def components() -> list[Component]:
    return [
        Component("source", "files", "framework_files.source:FilesSource", FilesOptions, "CSV and Parquet files, shaped by SQL"),
        Component("retrieval", "file", "framework_files.file:FileRetrieval", FileOptions, "Parquet files, no feature store"),
        Component("retrieval", "payload", "framework_files.payload:PayloadRetrieval", summary="features come with the request"),
    ]
