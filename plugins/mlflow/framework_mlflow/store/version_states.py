"""The states that MLflow says now of the two versions of a pair: read before every load, so it must
cost a millisecond.

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
from framework_mlflow.ledger.ledger import connect
from framework_mlflow.paths import sqlite_file
from framework_mlflow.private_parts import select_versions
from framework_mlflow.store.setup import is_there
from framework_mlflow.store.store import half_name

_DATABASES = re.compile(r"(sqlite|postgresql|mysql|mssql)[+:]")


@dataclass(frozen=True, slots=True)
class VersionState:
    """One half as MLflow has it."""

    source: str
    tags: dict[str, str]


def read_versions(
    tracking_uri: str, client: Callable[[], Any], name: str, version: int
) -> dict[str, VersionState]:
    """Read the states of both halves; a version that was deleted, or never was, is left out.

    Args:
        client: Gives MLflow's client. Called for a server, and for a database whose tables are not
            those of a tested MLflow.
    """
    states = None
    if _DATABASES.match(tracking_uri):
        states = _from_database(tracking_uri, name, version)
    return _from_server(client(), name, version) if states is None else states


@lru_cache(maxsize=8)
def _engine(uri: str) -> sa.Engine:
    return connect(uri)


def _from_database(uri: str, name: str, version: int) -> dict[str, VersionState] | None:
    if not is_there(uri):
        raise RegistryError(
            f"registry.tracking_uri: MLflow's database {sqlite_file(uri)} is not there; "
            "bring it back, or name the one that is used."
        )
    halves = {half_name(name, half): half for half in HALVES}
    try:
        lines = select_versions(
            _engine(uri), (half_name(name, HALVES[0]), half_name(name, HALVES[1])), version
        )
    except SQLAlchemyError as error:
        reason = one_line(getattr(error, "orig", error))
        raise RegistryError(
            f"registry.tracking_uri: MLflow's database cannot be read: {reason}"
        ) from error
    if lines is None:
        return None
    states: dict[str, VersionState] = {}
    for line in lines:
        state = states.setdefault(
            halves[line["name"]], VersionState(line["storage_location"] or line["source"], {})
        )
        if line["key"] is not None:
            state.tags[line["key"]] = line["value"]
    return states


def _from_server(client: Any, name: str, version: int) -> dict[str, VersionState]:
    from mlflow.exceptions import MlflowException

    states: dict[str, VersionState] = {}
    for half in HALVES:
        try:
            version_of_half = client.get_model_version(half_name(name, half), str(version))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                continue
            reason = one_line(error)
            raise RegistryError(
                f"MLflow could not read version {version} of {half_name(name, half)}: {reason}"
            ) from error
        states[half] = VersionState(version_of_half.source, dict(version_of_half.tags))
    return states
