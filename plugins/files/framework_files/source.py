"""CSV and Parquet files as the tables of feature views, shaped by DuckDB SQL."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from framework.errors import DataError, suggest
from framework.interfaces.source import Source
from framework.interfaces.values import TIME
from framework_files import Table
from framework_files.places import find_files, kind_of, unpack


class FilesSource(Source):
    """The files are opened when the first table is read, and each CSV is parsed once."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._opened: set[str] = set()

    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table. A time without a zone, and a date, are taken as UTC."""
        spec = self.options.tables.get(table)
        if spec is None:
            known = [*self.options.tables, *self.options.files]
            if table not in self.options.files:
                raise DataError(f"source=files: table '{table}' is not declared;{suggest(table, known)} Declared: {', '.join(known)}.")
            spec = Table()
        query = spec.query or f"SELECT * FROM {_name(table)}"  # noqa: S608 (an alias of the configuration, quoted)
        if spec.order_by:
            query = f"SELECT * FROM ({query.rstrip().rstrip(';')}) ORDER BY {', '.join(_name(c) for c in spec.order_by)}"  # noqa: S608
        for alias in self.options.files:
            self._open(alias)
        try:
            rows = self._connection.execute(query).df()
        except duckdb.Error as error:
            raise DataError(f"source=files: table '{table}': {_line(error)}") from error
        return _timed(_renamed(rows, spec.rename, table), table)

    def fingerprint(self) -> dict[str, str]:
        """``{"alias/file": sha256}`` of every file, and of every table's SQL under ``table``."""
        found = {}
        for alias, place in self.options.files.items():
            files = find_files(alias, place)
            for path in files:
                with path.open("rb") as stream:
                    found[f"{alias}/{path.name}" if len(files) == 1 else f"{alias}/{path.parent.name}/{path.name}"] = hashlib.file_digest(
                        stream, "sha256"
                    ).hexdigest()
        for table, spec in self.options.tables.items():
            found[f"{table} (table)"] = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
        return found

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _open(self, alias: str) -> None:
        """Make the files of an alias a table of the connection: Parquet is scanned by each query, CSV is parsed here."""
        if alias in self._opened:
            return
        files = find_files(alias, self.options.files[alias])
        with tempfile.TemporaryDirectory(prefix="framework-files-") as scratch:
            parts = [part for file in files for part in unpack(alias, file, Path(scratch))]
            kinds = {kind_of(part) for part in parts}
            if len(kinds) != 1:
                raise DataError(
                    f"source=files: file '{alias}': both CSV and Parquet in {self.options.files[alias]}; give each its own alias."
                )
            packed = any(part not in files for part in parts)
            made = "TABLE" if kinds == {"csv"} or packed else "VIEW"
            try:
                if kinds == {"csv"}:
                    relation = self._connection.read_csv(
                        [str(p) for p in parts],  # type: ignore[arg-type]  # the stubs know one path only
                        header=True,
                        sample_size=self.options.sample_size,
                        na_values=list(self.options.null_values),
                        union_by_name=True,
                    )
                else:
                    relation = self._connection.read_parquet(
                        [str(p) for p in parts], union_by_name=True, hive_partitioning=any("=" in p.parent.name for p in parts)
                    )
                relation.create(_name(alias)) if made == "TABLE" else relation.create_view(alias)
            except duckdb.ConversionException as error:
                raise DataError(f"source=files: file '{alias}': {_line(error)}; mend that row, or set source.sample_size=-1.") from error
            except duckdb.Error as error:
                raise DataError(f"source=files: file '{alias}': {self.options.files[alias]} cannot be read: {_line(error)}") from error
        self._opened.add(alias)


def _renamed(rows: pd.DataFrame, rename: dict[str, str], table: str) -> pd.DataFrame:
    missing = [c for c in rename if c not in rows.columns]
    if missing:
        raise DataError(f"source=files: table '{table}': rename of missing columns {missing}; it has {list(rows.columns)}.")
    return rows.rename(columns=rename)


def _timed(rows: pd.DataFrame, table: str) -> pd.DataFrame:
    if TIME not in rows.columns:  # a table that a view joins needs none
        return rows
    if not pd.api.types.is_datetime64_any_dtype(rows[TIME]):
        raise DataError(
            f"source=files: table '{table}': column '{TIME}' is {rows[TIME].dtype}, a timestamp is needed; cast it in the query."
        )
    return rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True)})


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
