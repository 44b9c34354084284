"""The only place that reaches parts of MLflow that MLflow does not promise to keep.

Tested with MLflow :data:`TESTED`. Each part is looked up by name. Where an MLflow has no such part,
this plugin takes the public way, which is slower and gives the same results.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from sqlalchemy.exc import SQLAlchemyError

from framework.interfaces.foreign_parts import find_part
from framework.pairs.manifest import HALVES
from framework_mlflow.ledger.prepared_query import rows

log = logging.getLogger(__name__)

#: The versions of MLflow with which these parts were tested.
TESTED = SpecifierSet(">=3.17,<3.18")
#: Where MLflow's server keeps the artifacts of an experiment without a place of its own.
_ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"

_KEY = ("name", "version", "workspace")
_versions = sa.table(
    "model_versions",
    *(sa.column(c) for c in (*_KEY, "current_stage", "storage_location", "source")),
)
_tags = sa.table("model_version_tags", *(sa.column(c) for c in (*_KEY, "key", "value")))
_v, _t = _versions.c, _tags.c
_STATES = (
    sa.select(_v.name, _v.storage_location, _v.source, _t.key, _t.value)
    .select_from(
        _versions.outerjoin(
            _tags,
            (_t.name == _v.name) & (_t.version == _v.version) & (_t.workspace == _v.workspace),
        )
    )
    .where(
        _v.name.in_([sa.bindparam(half) for half in HALVES]),
        _v.version == sa.bindparam("number"),
        _v.workspace == "default",
    )
    .where(_v.current_stage != "Deleted_Internal")
)


@contextmanager
def unchecked_requirements() -> Iterator[None]:
    """Save a model inside without MLflow's look whether its requirements are installed.

    They are the installed ones. MLflow reads the metadata of every distribution for it, for a
    second.
    """
    module, name = "mlflow.utils.environment", "warn_dependency_requirement_mismatches"
    check = find_part(module, name)
    if check is None:
        yield
        return
    owner = find_part(module)
    setattr(owner, name, lambda requirements: None)
    try:
        yield
    finally:
        setattr(owner, name, check)


@contextmanager
def default_artifacts(uri: str) -> Iterator[str]:
    """Set where MLflow's default experiment, which nobody uses, keeps its files, and give it.

    MLflow's own default is a plain path, at which its SQL breaks where it has a quote. What the
    environment says already stays.
    """
    if _ARTIFACT_ROOT in os.environ:
        yield os.environ[_ARTIFACT_ROOT]
        return
    os.environ[_ARTIFACT_ROOT] = uri
    try:
        yield uri
    finally:
        del os.environ[_ARTIFACT_ROOT]


def newest_migration() -> str | None:
    """Return the name of the last migration of MLflow's database; None where it cannot be told."""
    mlflow, scripts = find_part("mlflow"), find_part("alembic.script", "ScriptDirectory")
    if mlflow is None or scripts is None:
        return None
    migrations = Path(str(mlflow.__file__)).parent / "store" / "db_migrations"
    if not migrations.is_dir():
        return None
    return str(scripts(str(migrations)).get_current_head())


#: The columns of MLflow's tables that hold the place of files.
_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def recorded_places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """List the columns of a SQLite database of MLflow that hold the place of files: table and
    column. One that this MLflow does not have is left out.
    """
    return [
        (table, column)
        for table, columns in _PLACES.items()
        for column in columns
        if any(
            row[1] == column for row in connection.execute(f"PRAGMA table_info({table})").fetchall()
        )
    ]


def delete_artifacts(source: str, tracking_uri: str) -> None:
    """Delete what is stored at a URI. Raises what the client of the artifact store raises."""
    artifact_repository(source, tracking_uri).delete_artifacts()


def artifact_repository(uri: str, tracking_uri: str) -> Any:
    """Return MLflow's client of an artifact store. Raises NotImplementedError where this MLflow
    has none to give.
    """
    repository_of = find_part(
        "mlflow.store.artifact.artifact_repository_registry", "get_artifact_repository"
    )
    if repository_of is None:
        raise NotImplementedError("this MLflow gives no access to stored files; use the store's")
    return repository_of(uri, tracking_uri=tracking_uri)


def select_versions(
    engine: sa.Engine, models: Sequence[str], number: int
) -> list[dict[str, Any]] | None:
    """Read the versions of a pair's two registered models from MLflow's tables.

    Returns:
        One row for each tag, with ``name``, ``storage_location``, ``source``, ``key`` and
        ``value``; None where the tables are not those that were tested.

    Raises:
        SQLAlchemyError: The database cannot be read.
    """
    values = {**dict(zip(HALVES, models, strict=True)), "number": number}
    try:
        return rows(engine, _STATES, values)
    except SQLAlchemyError:
        if _has_columns(engine):
            raise
        log.info("This MLflow keeps model versions in other tables; its client is asked.")
        return None


def _has_columns(engine: sa.Engine) -> bool:
    """Tell whether every column that the query names is there, or no such table at all."""
    present = sa.inspect(engine)
    return not any(
        present.has_table(table.name)
        and {c.name for c in table.c} - {c["name"] for c in present.get_columns(table.name)}
        for table in (_versions, _tags)
    )
