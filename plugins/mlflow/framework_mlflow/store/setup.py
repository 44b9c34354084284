"""MLflow's SQLite database, set up whole or not at all.

MLflow makes its tables one migration after another, each of its own: a process that is killed among
them leaves a database that no later one can use. So they are made beside, and the file gets its
name at the end.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from framework.errors import RegistryError, one_line
from framework.files import PATIENCE
from framework_mlflow.paths import sqlite_file, sqlite_uri
from framework_mlflow.private_parts import default_artifacts, newest_migration, recorded_places

log = logging.getLogger(__name__)

#: Tables of MLflow in which something was kept; it fills others itself when it sets them up.
_KEPT = ("runs", "registered_models", "model_versions")


def is_there(uri: str) -> bool:
    """Say whether a database has been begun at ``uri``; of a server's there is no saying."""
    file = sqlite_file(uri)
    return file is None or (file.is_file() and file.stat().st_size > 0)


def set_up(uri: str, open_store: Callable[[str], Any]) -> Any:
    """Open the store of ``uri`` by ``open_store``; make its database first where there is none.

    Called under a lock: nobody else sets the same database up. Of a database that holds something,
    what is wrong with it is for ``open_store`` to say.
    """
    file = sqlite_file(uri)
    if file is None:
        return open_store(uri)
    if is_there(uri) and not _is_whole(file) and not _holds_something(file):
        aside = file.with_name(f"{file.name}.half-made")
        file.replace(aside)
        log.warning(
            "%s was left half-made by an interrupted command and holds nothing: now %s",
            file,
            aside.name,
        )
    if not is_there(uri):
        _build(file, open_store)
    return open_store(uri)


#: The bytes of a database in which nothing was kept yet, by its newest migration. MLflow's hundred
#: migrations take seconds; a process makes them once.
_EMPTY: dict[str | None, bytes] = {}
#: One thread at a time: where MLflow keeps artifacts is said in the process's environment.
_BUILDING = Lock()


def _build(file: Path, open_store: Callable[[str], Any]) -> None:
    folder = file.with_name(f".{file.name}.building")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    beside = folder / file.name
    migration = newest_migration()
    with _BUILDING, default_artifacts(Path("mlruns").absolute().as_uri()) as root:
        if migration not in _EMPTY:
            open_store(sqlite_uri(beside))
            _EMPTY[migration] = beside.read_bytes()
        else:
            beside.write_bytes(_EMPTY[migration])
            place = f"{root.rstrip('/')}/0"
            with closing(sqlite3.connect(beside)) as connection, connection:
                connection.execute("UPDATE experiments SET artifact_location = ?", (place,))
    if file.is_file() and file.stat().st_size == 0:
        file.unlink()  # SQLite makes an empty file of a database that is only looked at
    with suppress(FileExistsError):
        file.hardlink_to(beside)
    shutil.rmtree(folder)


def _is_whole(file: Path) -> bool:
    """Tell whether the last of MLflow's migrations was made; True where it cannot be told."""
    newest = newest_migration()
    try:
        return newest is None or (
            _rows(file, "SELECT version_num FROM alembic_version") == [(newest,)]
        )
    except sqlite3.Error:
        return False


def _holds_something(file: Path) -> bool:
    """True as well for what cannot be read: it is not ours to judge."""
    try:
        tables = {
            name for (name,) in _rows(file, "SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        return any(
            _rows(file, f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608
            for table in _KEPT
            if table in tables
        )
    except sqlite3.Error:
        return True


def _rows(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as connection:
        return connection.execute(query).fetchall()


def move_sources(uri: str, source: Callable[[str], str]) -> int:
    """Rewrite the absolute places in a SQLite database of MLflow whose folder was moved or copied.

    Args:
        uri: The database.
        source: Gives the place that a recorded one is now.

    Returns:
        The number of values that changed.

    Raises:
        RegistryError: The database cannot be written.
    """
    file = sqlite_file(uri)
    if file is None or not is_there(uri):
        return 0
    count = 0
    try:
        with closing(sqlite3.connect(file, timeout=PATIENCE)) as connection, connection:
            for table, column in recorded_places(connection):
                rows = connection.execute(
                    f"SELECT DISTINCT {column} FROM {table} WHERE {column} <> ''"  # noqa: S608
                )
                changed = [(source(was), was) for (was,) in rows.fetchall()]
                changed = [(now, was) for now, was in changed if now != was]
                connection.executemany(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = ?",  # noqa: S608
                    changed,
                )
                count += len(changed)
    except sqlite3.Error as error:
        raise RegistryError(
            f"registry.tracking_uri: {file} was moved or copied, and its paths cannot be "
            f"rewritten: {one_line(error)}; give this user the right to write it."
        ) from error
    return count


def open_client(mlflow: Any, uri: str) -> Any:
    """MLflow's client, its database opened. Raises what MLflow and SQLAlchemy raise.

    MLflow takes a quoted path for a plain one and makes its folders: those that are new are removed
    again.
    """
    file, misread = sqlite_file(uri), Path(uri.removeprefix("sqlite:///")).parent
    quoted = file is not None and file.parent != misread
    strays = (
        [folder for folder in (misread, *misread.parents) if not folder.exists()] if quoted else []
    )
    try:
        client = mlflow.MlflowClient(uri, uri)
        client.get_experiment("0")
        if quoted:
            client.search_registered_models(
                max_results=1
            )  # the registry's part makes them anew when it is first used
    finally:
        with suppress(OSError):
            for folder in strays:
                folder.rmdir()
    return client
