"""The tables that are declared, looked at before any row is read."""

from __future__ import annotations

from framework.errors import ConfigError, DataError, one_line, suggest
from framework.interfaces.source import Roles
from framework_files.csv_heads import CsvHeads, partition
from framework_files.fingerprints import aliases_of
from framework_files.names import ordered, refuse_missing, renamed
from framework_files.options import FilesOptions, Table
from framework_files.places import find_files, kind_of


def spec_of(options: FilesOptions, table: str) -> Table:
    """Return the options of a table.

    Raises:
        DataError: Neither a table nor a file has this name.
    """
    if table not in options.tables and table not in options.files:
        known = [*options.tables, *options.files]
        raise DataError(
            f"source=files: table '{table}' is not declared;{suggest(table, known)} "
            f"Declared: {', '.join(known)}."
        )
    return options.tables.get(table, Table())


def check_table(options: FilesOptions, table: str, roles: Roles) -> None:
    """Look whether the files of a table are there, and whether they have its columns. The columns
    of a query are those that DuckDB gives later.

    Raises:
        ConfigError: The table is not declared, or a column is not there.
        NotThereError: A file is not there.
        DataError: A file is none that can be read.
    """
    try:
        spec = spec_of(options, table)
    except DataError as error:
        raise ConfigError(str(error)) from error
    for alias in aliases_of(options, table):
        find_files(alias, options.files[alias])
    if spec.query is None and table not in options.files:
        raise ConfigError(
            f"source.tables.{table}: it has no query, and source.files has no '{table}'; add one."
        )
    columns = None if spec.query is not None else _columns(options, table)
    if columns is None:
        return
    try:
        names = renamed(columns, spec.rename, table)
        ordered(names, spec.order_by, table)
        refuse_missing([*names.values()], roles, table)
    except DataError as error:
        raise ConfigError(str(error)) from error


def _columns(options: FilesOptions, alias: str) -> list[str] | None:
    """The columns of the files of an alias; None where finding them out takes long: archives are
    unpacked first.
    """
    files = find_files(alias, options.files[alias])
    if any(file.name.endswith(".zip") for file in files):
        return None
    spec = options.tables.get(alias, Table())
    where = f"source=files: file '{alias}'"
    heads = CsvHeads(where, f"source.tables.{alias}", spec, options.sample_size)
    names: dict[str, None] = {}
    for file in files:
        if kind_of(file) == "csv":
            names |= dict.fromkeys(heads.columns(file))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                names |= dict.fromkeys((*pq.read_schema(file).names, *partition(file)))
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{where}: {file} cannot be read: {one_line(error)}") from error
    return [*names]
