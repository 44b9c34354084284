"""The first lines of CSV files: the encoding, the delimiter and the names of the columns. Read
without a library, so that a wrong name is refused at once.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import IO
from urllib.parse import unquote

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


class CsvHeads:
    """The first lines of the files of one alias.

    ``where``: what a message begins with. ``path``: of the options that a message names.
    """

    def __init__(self, where: str, path: str, spec: Table, sample: int) -> None:
        self.where, self.path, self.spec, self.sample = where, path, spec, sample

    def columns(self, file: Path) -> list[str]:
        """Return the names in the first line, with the columns that the names of the folders give;
        no more than the sample is read.

        Raises:
            DataError: The file is no CSV file, or its first line names no columns.
        """
        self.refuse_others(file)
        _, names = self.head(file, file, self.spec.encoding or "utf-8")
        return [*dict.fromkeys((*names, *partition(file)))]

    def refuse_others(self, file: Path) -> None:
        """Refuse what is no CSV file by its first bytes."""
        with opened(file) as stream:
            first = stream.read(4096)
        if not first:
            raise DataError(f"{self.where}: {file} is empty.")
        for magic, what in _OTHERS.items():
            if first.startswith(magic):
                raise DataError(f"{self.where}: {file} {what}.")
        if self.spec.encoding is None and (
            first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in first
        ):
            raise DataError(
                f"{self.where}: {file} is not UTF-8, it looks like UTF-16; set "
                f"{self.path}.encoding=utf-16."
            )

    def head(self, file: Path, text: Path, encoding: str = "utf-8") -> tuple[str, list[str]]:
        """Return the delimiter and the names in the first line of ``text``, which is ``file`` or a
        copy of it in ``encoding``.
        """
        try:
            with opened(text) as stream:
                lines = list(
                    islice(
                        text_of(stream, encoding, newline=""),
                        1 + max(self.sample, 1) if self.sample >= 0 else None,
                    )
                )
        except UnicodeError as error:
            raise DataError(f"{self.where}: {file} {self.not_encoded(encoding, error)}") from error
        lines[:1] = [line.removeprefix("\ufeff") for line in lines[:1]]
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

    def not_encoded(self, encoding: str, error: UnicodeError) -> str:
        """Say that a file has another encoding, and which option says so."""
        if self.spec.encoding is None:
            return f"is not UTF-8; {self.other_encoding()}"
        reason = error.reason if isinstance(error, UnicodeDecodeError) else error
        return f"is not {encoding} ({reason}); mend {self.path}.encoding."

    def other_encoding(self) -> str:
        """Say how another encoding is read."""
        return f"set {self.path}.encoding, such as cp1252 or latin-1."


def partition(file: Path) -> dict[str, str]:
    """Return the columns that the names of the folders give, ``key=value``."""
    pairs = (part.partition("=") for part in file.parts[:-1] if "=" in part)
    return {key: unquote(value) for key, _, value in pairs if key}


def is_zipped(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def opened(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if is_zipped(file) else file.open("rb")  # type: ignore[return-value]


def text_of(stream: IO[bytes], encoding: str, newline: str | None = None) -> IO[str]:
    return io.TextIOWrapper(stream, encoding=encoding, newline=newline)
