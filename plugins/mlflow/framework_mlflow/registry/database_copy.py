"""The copies of databases that lie outside the state folder, in a backup: files of SQLite, and
what ``pg_dump`` writes of PostgreSQL. Each is brought back whole or not at all.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

import sqlalchemy as sa

from framework.errors import RegistryError, one_line
from framework.files import atomic_write
from framework_mlflow.ledger import tables
from framework_mlflow.ledger.ledger import connect
from framework_mlflow.paths import sqlite_file

POSTGRESQL = "postgresql"
#: A table of each database that tells whether it is in use.
_USED = {"ledger": tables.pairs.name, "mlflow": "model_versions"}
#: Which restore brought back a database. It is written in the same transaction as the rest, and is
#: part of no backup.
_RESTORED = sa.table("framework_restored", sa.column("name"), sa.column("mark"))


class DatabaseCopy(ABC):
    """``uri``: where the database belongs."""

    def __init__(self, name: str, uri: str, copy: Path) -> None:
        self.name, self.uri, self.copy = name, uri, copy

    @abstractmethod
    def is_restored(self, mark: str) -> bool:
        """Say whether the restore ``mark`` has brought it back already."""

    @abstractmethod
    def is_used(self) -> bool:
        """Say whether there is something where it belongs. Raises RegistryError."""

    @abstractmethod
    def restore(self, mark: str) -> None:
        """Bring it back, as a part of the restore ``mark``. Raises RegistryError."""


class SqliteCopy(DatabaseCopy):
    def __init__(self, name: str, uri: str, copy: Path) -> None:
        super().__init__(name, uri, copy)
        self._file = sqlite_file(uri)

    def is_restored(self, mark: str) -> bool:
        return self.is_used() and filecmp.cmp(self.copy, self._place, shallow=False)

    def is_used(self) -> bool:
        return self._file is not None and self._file.exists()

    def restore(self, mark: str) -> None:
        with self.copy.open("rb") as original, atomic_write(self._place, durable=True) as stream:
            shutil.copyfileobj(original, stream)

    @property
    def _place(self) -> Path:
        if self._file is None:
            raise RegistryError(
                f"registry: the backup has {self.name} as SQLite, the configuration another "
                "database; restore it to a SQLite file."
            )
        return self._file


class PostgresqlCopy(DatabaseCopy):
    def is_restored(self, mark: str) -> bool:
        its_own = sa.select(sa.func.count()).where(
            _RESTORED.c.name == self.name, _RESTORED.c.mark == mark
        )
        return self._ask(
            _RESTORED.name, lambda connection: bool(connection.execute(its_own).scalar())
        )

    def is_used(self) -> bool:
        return self._ask(_USED[self.name], lambda _: True)

    def restore(self, mark: str) -> None:
        note = (
            f"CREATE TABLE IF NOT EXISTS {_RESTORED.name} (name text, mark text); "  # noqa: S608
            f"INSERT INTO {_RESTORED.name} VALUES ('{self.name}', '{mark}');"
        )
        script = ["--set", "ON_ERROR_STOP=1", "--single-transaction", "--quiet"]
        _run("psql", self.uri, [*script, "--command", note, "--file", str(self.copy)])

    def _ask(self, table, question) -> bool:  # type: ignore[no-untyped-def]  # SQLAlchemy's
        """Ask a question where there is a table; False where there is none."""
        engine = connect(self.uri)
        try:
            with engine.connect() as connection:
                return sa.inspect(connection).has_table(table) and question(connection)
        except sa.exc.SQLAlchemyError as error:
            raise RegistryError(f"registry: {one_line(getattr(error, 'orig', error))}") from error
        finally:
            engine.dispose()


def copies_of(name: str, uri: str, folder: Path) -> list[DatabaseCopy]:
    """List the copies of a database that a backup has.

    Args:
        name: ``mlflow`` or ``ledger``.
        uri: Where it belongs.
        folder: The registry's part of the backup.

    Returns:
        At most one of each kind.
    """
    kinds = ((SqliteCopy, f"{name}.db"), (PostgresqlCopy, f"{name}.sql"))
    return [kind(name, uri, folder / file) for kind, file in kinds if (folder / file).is_file()]


def dump(uri: str, target: Path) -> None:
    """Write a database of PostgreSQL as ``pg_dump`` does.

    Args:
        uri: The database.
        target: The file. Its folder is made.

    Raises:
        RegistryError: It cannot be read, or ``pg_dump`` is not installed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    plain = ["--no-owner", "--no-privileges", f"--exclude-table={_RESTORED.name}"]
    _run("pg_dump", uri, [*plain, "--file", str(target)])


def _run(program: str, uri: str, arguments: list[str]) -> None:
    """Run a program of PostgreSQL on a database; its password stays out of the arguments."""
    url = sa.make_url(uri)
    plain = url.set(drivername=POSTGRESQL, password=None).render_as_string()
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    try:
        subprocess.run(  # noqa: S603
            [program, "--no-password", "--dbname", plain, *arguments],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError as error:
        raise RegistryError(
            f"{program} is not installed; install PostgreSQL's client, at least as new as the "
            "server (Debian: postgresql-client)."
        ) from error
    except subprocess.CalledProcessError as error:
        raise RegistryError(f"{program}: {one_line(error.stderr)}") from error
