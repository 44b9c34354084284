"""Options to absolute places: what MLflow records must not depend on the folder a later command is started in."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

from framework.errors import ConfigError
from framework_mlflow import MlflowOptions

_SQLITE = "sqlite:///"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # MLflow's own, mlflow-artifacts:/path, has a single slash


def database(uri: str) -> str:
    """A SQLite path made absolute, its folder made; every other URI as it is."""
    if not uri.startswith(_SQLITE):
        return uri
    path = Path(uri.removeprefix(_SQLITE)).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"{_SQLITE}{path}"


def folder(location: str) -> str:
    """A folder made absolute; a URI as it is."""
    return location if _SCHEME.match(location) else str(Path(location).absolute())


def local_path(uri: str) -> Path | None:
    """The folder that an artifact URI means on this machine, None when it is remote."""
    parts = urlparse(uri)
    if parts.scheme == "":
        return Path(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def check(options: MlflowOptions) -> MlflowOptions:
    """Options with absolute places. Raises ConfigError when MLflow and the ledger would lock each other out."""
    tracking, ledger = database(options.tracking_uri), database(options.ledger)
    if tracking == ledger and tracking.startswith(_SQLITE):
        raise ConfigError(f"registry.ledger: '{options.ledger}' is MLflow's own SQLite file; name another one, such as …/ledger.db.")
    return options.model_copy(
        update={
            "tracking_uri": tracking,
            "ledger": ledger,
            "artifact_location": folder(options.artifact_location),
            "cache": folder(options.cache),
        }
    )
