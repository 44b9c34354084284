"""What MLflow says now about the two versions of a pair: read before every load, so it must cost a
millisecond.

A database is asked directly, with one SELECT of its tables of versions and tags: importing MLflow
takes four seconds and most of a server's memory, its client about ten milliseconds a version. Every
other tracking URI is asked through the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from framework.errors import RegistryError, one_line
from framework.pairs.manifest import HALVES
from framework_mlflow.ledger import connect
from framework_mlflow.places import sqlite_file
from framework_mlflow.prepared import rows
from framework_mlflow.setup import is_there
from framework_mlflow.store import half_name

_DATABASES = re.compile(r"(sqlite|postgresql|mysql|mssql)[+:]")

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


@dataclass(frozen=True, slots=True)
class VersionState:
    """One half as MLflow has it."""

    source: str
    tags: dict[str, str]


def read_versions(
    tracking_uri: str, client: Callable[[], Any], name: str, version: int
) -> dict[str, VersionState]:
    """By half; a version that was deleted, or never was, is left out. ``client`` gives MLflow's
    client, called only for a server.
    """
    if _DATABASES.match(tracking_uri):
        return _from_database(tracking_uri, name, version)
    return _from_server(client(), name, version)


@lru_cache(maxsize=8)
def _engine(uri: str) -> sa.Engine:
    return connect(uri)


def _from_database(uri: str, name: str, version: int) -> dict[str, VersionState]:
    if not is_there(uri):
        raise RegistryError(
            f"registry.tracking_uri: MLflow's database {sqlite_file(uri)} is not there; "
            "bring it back, or name the one that is used."
        )
    try:
        states = rows(
            _engine(uri),
            _STATES,
            {**{half: half_name(name, half) for half in HALVES}, "number": version},
        )
    except SQLAlchemyError as error:
        reason = one_line(getattr(error, "orig", error))
        raise RegistryError(
            f"registry.tracking_uri: MLflow's database cannot be read: {reason}"
        ) from error
    halves = {half_name(name, half): half for half in HALVES}
    found: dict[str, VersionState] = {}
    for row in states:
        state = found.setdefault(
            halves[row["name"]], VersionState(row["storage_location"] or row["source"], {})
        )
        if row["key"] is not None:
            state.tags[row["key"]] = row["value"]
    return found


def _from_server(client: Any, name: str, version: int) -> dict[str, VersionState]:
    from mlflow.exceptions import MlflowException

    found: dict[str, VersionState] = {}
    for half in HALVES:
        try:
            state = client.get_model_version(half_name(name, half), str(version))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                continue
            reason = one_line(error)
            raise RegistryError(
                f"MLflow could not read version {version} of {half_name(name, half)}: {reason}"
            ) from error
        found[half] = VersionState(state.source, dict(state.tags))
    return found
