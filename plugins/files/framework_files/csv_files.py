"""CSV files to tables of texts, line by line or not at all: nothing is skipped, padded or
guessed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from framework.errors import DataError
from framework_files.csv_heads import CsvHeads, is_zipped, opened, partition, text_of
from framework_files.options import Table


class CsvFiles(CsvHeads):
    """The files of one alias, read into one table in which every column is text."""

    def __init__(
        self, where: str, path: str, spec: Table, nulls: Sequence[str], sample: int
    ) -> None:
        super().__init__(where, path, spec, sample)
        self.nulls = nulls

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
        heads = [(file, text, *self.head(file, text)) for file, text in plain]
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
                with opened(text) as old, copy.open("w", encoding="utf-8") as new:
                    shutil.copyfileobj(text_of(old, "utf-8"), new)
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
            f"compression = '{'gzip' if is_zipped(text) else 'none'}', nullstr = "
            f"[{', '.join(map(literal, self.nulls))}])"
        )

    def _as_utf8(self, file: Path, copy: Path) -> Path:
        """The file itself, or a copy in UTF-8 of one that has another encoding."""
        self.refuse_others(file)
        if self.spec.encoding is None:
            return file
        try:
            with opened(file) as old, copy.open("w", encoding="utf-8", newline="") as new:
                shutil.copyfileobj(text_of(old, self.spec.encoding, newline=""), new)
        except UnicodeError as error:
            raise DataError(
                f"{self.where}: {file} {self.not_encoded(self.spec.encoding, error)}"
            ) from error
        return copy

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
            return f"{where}it is not UTF-8; {self.other_encoding()}"
        if "quote" in text:
            return (
                f"{where}a quotation mark is not closed, or has text behind it; mend it: a "
                "quotation mark inside a text is doubled."
            )
        return f"{where}it cannot be read: {' '.join(text.partition('Possible')[0].split())[:300]}"


def quoted(identifier: str) -> str:
    """Return ``identifier`` as SQL writes a name."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as SQL writes a text."""
    return "'" + text.replace("'", "''") + "'"
