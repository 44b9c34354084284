"""CSV files to tables of texts, line by line or not at all: nothing is skipped, padded or
guessed.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import duckdb

from framework.errors import DataError
from framework_files.options import Table

_DELIMITERS = (",", ";", "\t", "|")
#: First bytes of what is no CSV, and what to do about it.
_OTHERS = {
    b"PK\x03\x04": "is an Excel workbook or an archive; save the sheet as CSV, or name the "
    "archive .zip",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save the sheet as CSV",
    b"BZh": "is compressed with bzip2; unpack it, or compress it with gzip (.csv.gz)",
    b"\xfd7zXZ": "is compressed with xz; unpack it, or compress it with gzip (.csv.gz)",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it, or compress it with gzip (.csv.gz)",
    b"\x89HDF": "is an HDF5 file; save the table as CSV or Parquet",
    b"ARROW1": "is a Feather file; save the table as CSV or Parquet",
    b"SQLite format 3": "is an SQLite database; read it with source=sql",
}


class CsvFiles:
    """The files of one alias, read into one table in which every column is text.

    ``where``: what a message begins with. ``path``: of the options that a message names.
    """

    def __init__(
        self, where: str, path: str, spec: Table, nulls: Sequence[str], sample: int
    ) -> None:
        self.where, self.path, self.spec = where, path, spec
        self.nulls, self.sample = nulls, sample

    def load(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        files: Iterable[Path],
        scratch: Path,
    ) -> set[str]:
        """Make ``table``, a quoted name, of ``files``: the union of their columns, in the order of
        files and lines.

        Returns:
            The delimiters of the files.

        Raises:
            DataError: Naming the file, the line and what is wrong with it.
        """
        plain = [
            (file, self._as_utf8(file, scratch / f"{number}.csv"))
            for number, file in enumerate(files)
        ]
        heads = [(file, text, *self._head(file, text)) for file, text in plain]
        partitions = {file: partition(file) for file, _ in plain}
        columns = dict.fromkeys(name for _, _, _, names in heads for name in names)
        columns |= dict.fromkeys(key for keys in partitions.values() for key in keys)
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} "
            f"({', '.join(f'{quoted(c)} VARCHAR' for c in columns)})"
        )
        for file, text, delimiter, names in heads:
            try:
                self._insert(connection, table, text, delimiter, names, partitions[file])
            except duckdb.InvalidInputException as error:
                if "invalid state" not in str(error):
                    raise DataError(f"{self.where}: {file}{self._reason(error, names)}") from error
                copy = scratch / f"{text.name}.lines"  # lines end in several ways
                with _opened(text) as old, copy.open("w", encoding="utf-8") as new:
                    shutil.copyfileobj(_text(old, "utf-8"), new)
                try:
                    self._insert(connection, table, copy, delimiter, names, partitions[file])
                except duckdb.Error as second:
                    raise DataError(
                        f"{self.where}: {file}{self._reason(second, names)}"
                    ) from second
        return {delimiter for _, _, delimiter, _ in heads}

    def _insert(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        text: Path,
        delimiter: str,
        names: Sequence[str],
        keys: dict[str, str],
    ) -> None:
        types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        more = "".join(
            f", {literal(value)} AS {quoted(key)}"
            for key, value in keys.items()
            if key not in names
        )
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT *{more} FROM "  # noqa: S608
            f"read_csv({literal(str(text))}, auto_detect = false, header = true, "
            f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', columns = "
            f"{{{types}}}, hive_partitioning = false, "
            f"compression = '{'gzip' if _zipped(text) else 'none'}', nullstr = "
            f"[{', '.join(map(literal, self.nulls))}])"
        )

    def _as_utf8(self, file: Path, copy: Path) -> Path:
        """The file itself, or a copy in UTF-8 of one that has another encoding."""
        with _opened(file) as stream:
            first = stream.read(4096)
        if not first:
            raise DataError(f"{self.where}: {file} is empty.")
        for magic, what in _OTHERS.items():
            if first.startswith(magic):
                raise DataError(f"{self.where}: {file} {what}.")
        if self.spec.encoding is None:
            if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in first:
                raise DataError(
                    f"{self.where}: {file} is not UTF-8, it looks like UTF-16; set "
                    f"{self.path}.encoding=utf-16."
                )
            return file
        try:
            with _opened(file) as old, copy.open("w", encoding="utf-8", newline="") as new:
                shutil.copyfileobj(_text(old, self.spec.encoding, newline=""), new)
        except UnicodeError as error:
            raise DataError(
                f"{self.where}: {file} is not {self.spec.encoding} "
                f"({error.reason if isinstance(error, UnicodeDecodeError) else error}); "
                f"mend {self.path}.encoding."
            ) from error
        return copy

    def _head(self, file: Path, text: Path) -> tuple[str, list[str]]:
        """The delimiter and the names in the first line."""
        try:
            with _opened(text) as stream:
                lines = list(
                    islice(
                        _text(stream, "utf-8-sig", newline=""),
                        1 + max(self.sample, 1) if self.sample >= 0 else None,
                    )
                )
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.where}: {file} is not UTF-8; {self._other_encoding()}"
            ) from error
        delimiter = self.spec.delimiter or self._delimiter(file, lines)
        names = [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
        names = [name or f"column{place}" for place, name in enumerate(names)]
        lower = [name.lower() for name in names]
        twice = next(
            (name for place, name in enumerate(names) if name.lower() in lower[:place]), None
        )
        if twice is not None:
            raise DataError(
                f"{self.where}: {file} has two columns '{twice}' (case aside) in its first "
                "line; rename one there."
            )
        if not names:
            raise DataError(
                f"{self.where}: the first line of {file} is blank; it names the columns."
            )
        return delimiter, names

    def _delimiter(self, file: Path, lines: Sequence[str]) -> str:
        """The only one of the usual delimiters in the first line, or the one that parts the next
        lines alike.
        """
        counts = {d: len(next(csv.reader(lines, delimiter=d), [])) for d in _DELIMITERS}
        delimiters = [d for d, count in counts.items() if count > 1]
        if len(delimiters) > 1:
            delimiters = [
                d
                for d in delimiters
                if all(len(row) == counts[d] for row in csv.reader(lines, delimiter=d) if row)
            ]
        if len(delimiters) > 1 or (not delimiters and max(counts.values()) > 1):
            raise DataError(
                f"{self.where}: it is not clear what stands between the fields of {file}; "
                f"set {self.path}.delimiter."
            )
        return delimiters[0] if delimiters else ","

    def _reason(self, error: duckdb.Error, names: Sequence[str]) -> str:
        text = str(error)
        line = re.search(r"Line: (\d+)", text)
        where = f", line {line[1]}: " if line else ": "
        fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
        if fields:
            advice = (
                f"mend it, or set {self.path}.delimiter; a delimiter inside a text needs quotes "
                "around the text"
            )
            return (
                f"{where}it has {fields[2]} of {fields[1]} fields (the first line names "
                f"{', '.join(names)}); {advice}."
            )
        if "unicode" in text:
            return f"{where}it is not UTF-8; {self._other_encoding()}"
        if "quote" in text:
            return (
                f"{where}a quotation mark is not closed, or has text behind it; mend it: a "
                "quotation mark inside a text is doubled."
            )
        return f"{where}it cannot be read: {' '.join(text.partition('Possible')[0].split())[:300]}"

    def _other_encoding(self) -> str:
        return f"set {self.path}.encoding, such as cp1252 or latin-1."


def quoted(identifier: str) -> str:
    """Return ``identifier`` as SQL writes a name."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as SQL writes a text."""
    return "'" + text.replace("'", "''") + "'"


def partition(file: Path) -> dict[str, str]:
    """Return the columns that the names of the folders give, ``key=value``."""
    pairs = (part.partition("=") for part in file.parts[:-1] if "=" in part)
    return {key: unquote(value) for key, _, value in pairs if key}


def _zipped(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _opened(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if _zipped(file) else file.open("rb")  # type: ignore[return-value]


def _text(stream: IO[bytes], encoding: str, newline: str | None = None) -> IO[str]:
    return io.TextIOWrapper(stream, encoding=encoding, newline=newline)
