"""The feature store of a configuration: checked, opened once, kept in step with the declared
views.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, DataError, FrameworkError, one_line
from framework.files import exclusive
from framework_feast.light import Entity, FeatureStore, FeatureView, RepoConfig
from framework_feast.records.records import online_store
from framework_feast.repository.sources import offline_type

#: It warns that serve_features_while_materializing does nothing for a file registry; the file
#: registry of this version reads it.
logging.getLogger("feast.repo_config").setLevel(logging.ERROR)


def open_store(content: Mapping[str, Any]) -> FeatureStore:
    """A store from the content of a feature_store.yaml. Raises :class:`ConfigError` for one whose
    answers would be wrong.
    """
    offline_type(content)
    if not content.get("materialization", {}).get("pull_latest_features"):
        raise ConfigError(
            "feature_store.materialization.pull_latest_features: must be true; otherwise "
            "every row is written online, in any order, "
            "and an older one can win."
        )
    online = online_store(content)
    if online["type"] == "redis":
        online = {
            "skip_dedup": True,
            **online,
        }  # Feast would leave out a corrected row of the same time; who writes has looked already
    try:
        store = FeatureStore(config=RepoConfig(**{**content, "online_store": online}))
        for place in (store.config.registry, store.config.online_store):
            path = place if isinstance(place, str) else getattr(place, "path", None)
            if path and "://" not in path:
                Path(path).parent.mkdir(
                    parents=True, exist_ok=True
                )  # Feast makes the last folder of a path only
    except Exception as error:  # pydantic's, or one of Feast's many own
        raise ConfigError(f"feature_store: Feast does not accept it: {line(error)}") from error
    return store


def file_identities(content: Mapping[str, Any]) -> list[tuple[int, int] | None]:
    """Device and inode of the local files of a feature_store.yaml's registry and online store, None
    for one that is not there.
    """
    registry, online = content.get("registry"), online_store(content)
    paths = [registry.get("path") if isinstance(registry, Mapping) else registry]
    if online["type"] == "sqlite":
        paths.append(online.get("path", "data/online.db"))
    return [
        identity(Path(str(path))) for path in paths if path is not None and "://" not in str(path)
    ]


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, None for a file that is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def apply(store: FeatureStore, objects: list[Entity | FeatureView], state: Path) -> None:
    """Register entities and views. One process at a time: the registry is a file that is read,
    changed and written back.
    """
    with exclusive(state / "feast-apply.lock", "Feast's registry"), quiet(), failing("apply"):
        store.refresh_registry()  # what another process has registered stays
        store.apply(objects)  # type: ignore[arg-type]  # a list of one kind is what the SDK declares


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Feast prints, and its libraries announce deprecations of their own; standard output belongs
    to the result.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever the SDK raises, as one line."""
    try:
        yield
    except FrameworkError:
        raise
    except Exception as error:
        raise DataError(
            f"retrieval=feast: {what}: {type(error).__name__}: {line(error)}"
        ) from error


def line(error: Exception) -> str:
    return one_line(error)
