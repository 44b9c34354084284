"""The folder that holds the ledger, MLflow's database and the files of pairs together.

The ledger records what lies in it relative to it, so that the folder can be moved and copied.
MLflow records absolute places only: they are rewritten at the first change from a new place, and
read until then as if they had been.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from framework_mlflow.options import MlflowOptions
from framework_mlflow.paths import folder, local_path, sqlite_file


@dataclass(frozen=True, slots=True)
class Home:
    """``path``: the folder; None where the ledger or MLflow is on a server, or where they lie in
    different folders. Nothing is relative then.
    """

    path: Path | None = None

    def recorded(self, source: str) -> str:
        """Give a source as the ledger records it: relative to the folder where it lies in it."""
        place = local_path(source)
        if self.path is None or place is None or not place.is_relative_to(self.path):
            return source
        return place.relative_to(self.path).as_posix()

    def source(self, text: str, former: Iterable[Path]) -> str:
        """Give what was recorded as the source that it means now.

        Args:
            text: A source as the ledger or MLflow records it.
            former: The folders that this one was called before it was moved or copied.

        Returns:
            The source: a path or a URI.
        """
        return text if self.path is None else _source(self.path, text, tuple(former))

    def former(self, stores: Iterable[str]) -> tuple[Path, ...]:
        """Give the folders in which this one was used before, by the URIs of its MLflow stores."""
        return () if self.path is None else _former(self.path, tuple(stores))


@lru_cache
def _source(home: Path, text: str, former: tuple[Path, ...]) -> str:
    place = local_path(text)
    if place is None:
        return text
    if not place.is_absolute():
        return folder(str(home / place))
    parents = [path for path in (home, *former) if place.is_relative_to(path)]
    nearest = max(parents, key=lambda path: len(path.parts), default=home)
    if nearest == home:
        return text
    return folder(str(home / place.relative_to(nearest)))


@lru_cache
def _former(home: Path, stores: tuple[str, ...]) -> tuple[Path, ...]:
    files = (sqlite_file(uri) for uri in stores)
    folders = dict.fromkeys(file.parent for file in files if file is not None)
    return tuple(path for path in folders if path != home)


def home_of(options: MlflowOptions) -> Home:
    """Give the home of options with absolute places."""
    tracking, ledger = sqlite_file(options.tracking_uri), sqlite_file(options.ledger)
    if tracking is None or ledger is None or tracking.parent != ledger.parent:
        return Home()
    return Home(ledger.parent)
