"""Options to absolute places: what MLflow records must not depend on the folder a later command is
started in.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

from framework.errors import ConfigError
from framework.secrets import masked, secrets_in
from framework_mlflow.options import MlflowOptions

_SQLITE = "sqlite:///"
_SCHEME = re.compile(
    r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE
)  # MLflow's own, mlflow-artifacts:/path, has a single slash


def database(uri: str) -> str:
    """A SQLite path made absolute, its folder made; every other URI as it is.

    The path is taken as it is written: ``%20`` in it is no space, ``?`` begins no options.
    """
    if not uri.startswith(_SQLITE):
        return uri
    path = Path(uri.removeprefix(_SQLITE)).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite_uri(path)


def sqlite_uri(path: Path) -> str:
    """The URI that SQLAlchemy reads ``path`` from."""
    return f"{_SQLITE}{str(path).replace('%', '%25').replace('?', '%3F')}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite URI as :func:`sqlite_uri` writes it, None for every other one."""
    return Path(unquote(uri.removeprefix(_SQLITE))) if uri.startswith(_SQLITE) else None


def shown(uri: str) -> str:
    """Give a database as people are told of it: without a password."""
    return str(sqlite_file(uri) or masked(uri))


def folder(location: str) -> str:
    """A folder made absolute; a URI as it is. One with ``%`` becomes a URI: MLflow reads ``%20`` in
    a path as a space.
    """
    if _SCHEME.match(location):
        return location
    path = Path(location).absolute()
    return path.as_uri() if "%" in str(path) else str(path)


def local_path(uri: str) -> Path | None:
    """The folder that an artifact URI means on this machine, None when it is remote."""
    parts = urlparse(uri)
    if parts.scheme == "":
        return Path(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def check(options: MlflowOptions) -> MlflowOptions:
    """Options with absolute places. Raises ConfigError when MLflow and the ledger would lock each
    other out.
    """
    if secrets_in(options.artifact_location):
        raise ConfigError(
            "registry.artifact_location: a password in it would be recorded with every "
            "pair; give the store's credentials by its own "
            "environment variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    tracking, ledger = database(options.tracking_uri), database(options.ledger)
    if tracking == ledger and tracking.startswith(_SQLITE):
        raise ConfigError(
            f"registry.ledger: '{options.ledger}' is MLflow's own SQLite file; name another "
            "one, such as …/ledger.db."
        )
    return options.model_copy(
        update={
            "tracking_uri": tracking,
            "ledger": ledger,
            "artifact_location": folder(options.artifact_location),
            "cache": str(Path(options.cache).absolute()),
        }
    )
