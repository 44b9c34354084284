"""The ingredients of the tables: the bytes of their files, their SQL and their options."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from framework_files.options import FilesOptions, Table
from framework_files.places import find_files

#: Files of plain text.
_PLAIN = (".csv", ".tsv")


def fingerprint(options: FilesOptions) -> dict[str, str]:
    """Return ``{"alias/file": sha256}`` of every file, and ``{"table (table)": sha256}``."""
    return _prints(options, options.files)


def fingerprint_of(options: FilesOptions, tables: Sequence[str]) -> dict[str, str]:
    """Return the part of :func:`fingerprint` that concerns these tables."""
    aliases = {alias for table in tables for alias in aliases_of(options, table)}
    prints = _prints(options, [alias for alias in options.files if alias in aliases])
    others = {f"{name} (table)" for name in options.tables if name not in {*tables, *aliases}}
    return {key: value for key, value in prints.items() if key not in others}


def size_of(options: FilesOptions, tables: Sequence[str]) -> int:
    """Return about as many bytes as these tables take in a Parquet file, rather too few: those of
    their files, a tenth of a file of plain text.
    """
    aliases = {alias for table in tables for alias in aliases_of(options, table)}
    files = [path for alias in aliases for path in find_files(alias, options.files[alias])]
    sizes = (path.stat().st_size // (10 if path.suffix in _PLAIN else 1) for path in files)
    return sum(sizes)


def aliases_of(options: FilesOptions, table: str) -> list[str]:
    """The files that a table names in its query, all where that cannot be told."""
    query = options.tables.get(table, Table()).query
    if query is None:
        return [table] if table in options.files else []
    return [a for a in options.files if re.search(rf"(?i)\b{re.escape(a)}\b", query)] or list(
        options.files
    )


def _prints(options: FilesOptions, aliases: Iterable[str]) -> dict[str, str]:
    prints = {}
    for alias in aliases:
        place = options.files[alias]
        files = find_files(alias, place)
        for path in files:
            with path.open("rb") as stream:
                prints[
                    f"{alias}/{path.name}"
                    if len(files) == 1
                    else f"{alias}/{path.parent.name}/{path.name}"
                ] = hashlib.file_digest(stream, "sha256").hexdigest()
    for table, spec in options.tables.items():
        clock_options = {
            name for name in ("time_zone", "ambiguous") if getattr(spec, name) is not None
        }
        shape = spec.model_dump_json(
            include={"query", "rename", "order_by", *clock_options, *spec.reading()}
        )
        prints[f"{table} (table)"] = hashlib.sha256(shape.encode()).hexdigest()
    if options.null_values != ("",):
        prints["null_values"] = hashlib.sha256(json.dumps(options.null_values).encode()).hexdigest()
    return prints
