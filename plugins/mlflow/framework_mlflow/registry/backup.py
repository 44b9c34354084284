"""The registry's part of ``run=backup`` and ``run=restore``.

The ledger is locked while its database and MLflow's are copied, so that both are of one moment. The
files of its pairs are there by then, and are copied and proven afterwards. A ledger on PostgreSQL
is locked by name only, so that others go on: it is copied first, and MLflow may know more than the
ledger, never less.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from framework.errors import RefusedError, RegistryError, one_line
from framework.files import copy_database
from framework.interfaces.registry import PairVersion
from framework.pairs.manifest import HALVES, prove
from framework_mlflow import artifacts
from framework_mlflow.ledger.ledger import Ledger
from framework_mlflow.options import MlflowOptions
from framework_mlflow.paths import local_path, sqlite_file
from framework_mlflow.private_parts import artifact_repository
from framework_mlflow.registry.database_copy import POSTGRESQL, copies_of, dump

#: Below the backup, what does not lie in the state folder.
_ELSEWHERE = "registry"


class RegistryCopy:
    """``options``: with absolute places."""

    def __init__(self, options: MlflowOptions, ledger: Ledger) -> None:
        self._options, self._ledger = options, ledger
        self._databases = {"ledger": options.ledger, "mlflow": options.tracking_uri}

    def write(self, state: Path, folder: Path, copy_files: Callable[[], None]) -> list[str]:
        """See :meth:`framework.interfaces.registry.Registry.backup`."""
        part = folder / _ELSEWHERE
        with self._ledger.locked("backup") as writer:
            pairs, warnings = writer.pairs(), []
            for name, uri in self._databases.items():
                file = sqlite_file(uri)
                if file is not None and file.is_file():
                    inside = file.is_relative_to(state)
                    target = folder / "state" / file.relative_to(state) if inside else None
                    copy_database(file, target or part / f"{name}.db")
                warnings += self._dump(name, part)
        copy_files()
        location = local_path(self._options.artifact_location)
        if location is None or not location.is_relative_to(state):
            self._fetch_files(part / "artifacts")
        for pair in pairs:
            warnings += self._prove(pair, state, folder)
        return warnings

    def _dump(self, name: str, part: Path) -> list[str]:
        uri = self._databases[name]
        if sqlite_file(uri) is not None or (
            name == "mlflow" and uri == self._options.ledger
        ):  # one database holds both
            return []
        if not uri.startswith(POSTGRESQL):
            place = sa.make_url(uri).render_as_string(hide_password=True)
            return [f"{name}: {place} is not in the backup; copy it by its own means"]
        dump(uri, part / f"{name}.sql")
        return []

    def _fetch_files(self, target: Path) -> None:
        location = local_path(self._options.artifact_location)
        if location is not None:
            if location.is_dir():
                shutil.copytree(location, target)
            return
        target.mkdir(parents=True, exist_ok=True)
        try:
            self._repository().download_artifacts("", str(target))
        except Exception as error:  # the client of an artifact store raises its own errors
            raise RegistryError(
                f"registry.artifact_location: {self._options.artifact_location} cannot be "
                f"copied: {one_line(error, 300)}."
            ) from error

    def _repository(self):  # type: ignore[no-untyped-def]  # MLflow's
        return artifact_repository(self._options.artifact_location, self._options.tracking_uri)

    def _prove(self, pair: PairVersion, state: Path, folder: Path) -> list[str]:
        registered = self._ledger.registered(pair.name, pair.version)
        label = f"'{pair.name}' version {pair.version}"
        if registered is None:
            raise RegistryError(f"{label} was removed while it was copied; run=backup again.")
        copies = {}
        for half, source in registered.sources.items():
            copy = self._copy_of(source, state, folder)
            if copy is None:
                return [f"{label} is not in the backup: its files are at {source}"]
            copies[half] = copy
        try:
            if all(copies[half].is_dir() for half in HALVES):
                prove(copies, pair.digest, artifacts.WRITTEN_BY_MLFLOW)
                return []
            reason = "its files are missing"
        except RefusedError as error:
            reason = str(error)
        return [f"{label} is broken, and so is its copy: {reason}"]

    def _copy_of(self, source: str, state: Path, folder: Path) -> Path | None:
        place = local_path(source)
        if place is not None and place.is_relative_to(state):
            return folder / "state" / place.relative_to(state)
        root = self._options.artifact_location.rstrip("/") + "/"
        if not source.startswith(root):
            return None
        return folder / _ELSEWHERE / "artifacts" / source.removeprefix(root)

    def read(self, folder: Path, mark: str) -> None:
        """See :meth:`framework.interfaces.registry.Registry.restore`. The ledger comes last: before
        it nothing is a pair.
        """
        part = folder / _ELSEWHERE
        copies = [
            copy
            for name in ("mlflow", "ledger")
            for copy in copies_of(name, self._databases[name], part)
        ]
        others = [copy for copy in copies if not copy.is_restored(mark)]
        present = [copy.uri for copy in others if copy.is_used()]
        if present:
            places = ", ".join(
                sa.make_url(uri).render_as_string(hide_password=True) for uri in present
            )
            raise RegistryError(f"{places}: there are tables already; name an empty database.")
        if (part / "artifacts").is_dir():
            self._store_files(part / "artifacts")
        for copy in others:
            copy.restore(mark)

    def _store_files(self, folder: Path) -> None:
        location = local_path(self._options.artifact_location)
        if location is not None:
            shutil.copytree(folder, location, dirs_exist_ok=True)
            return
        try:
            self._repository().log_artifacts(str(folder))
        except Exception as error:  # the client of an artifact store raises its own errors
            raise RegistryError(
                f"registry.artifact_location: {self._options.artifact_location} cannot be "
                f"written: {one_line(error, 300)}."
            ) from error
