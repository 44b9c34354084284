"""The position up to which each view has been read from its source. A position is kept once the
rows up to it are stored, never before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from framework.errors import DataError
from framework.files import LONG_PATIENCE, atomic_write, exclusive


class Positions:
    """One small file for each view below ``root``. A position counts only for what it was reached
    with: ``made`` tells that apart.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def alone(self, view: str, say: Callable[[str], None]) -> Iterator[None]:
        """One ingestion of a view at a time: it reads stored rows, computes with them and stores. A
        second one says that it waits.
        """
        what = f"ingest: the ingestion of view '{view}'"
        with exclusive(self.root / f"{view}.lock", what, limit=LONG_PATIENCE, say=say):
            yield

    def read(self, view: str, recipe: str) -> str | None:
        """The position of ``view``, None when there is none or it was reached with something
        else.
        """
        path = self._path(view)
        try:
            entry = json.loads(path.read_text())
            return str(entry["position"]) if entry["made"] == _digest(recipe) else None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"ingest: {path} is damaged ({error}); delete it: everything is then read again."
            ) from error

    def keep(self, view: str, recipe: str, position: str) -> None:
        """Replaced in one step and on the disk when this returns."""
        content = json.dumps({"made": _digest(recipe), "position": position})
        with atomic_write(self._path(view), durable=True) as stream:
            stream.write(content.encode())

    def _path(self, view: str) -> Path:
        return self.root / f"{view}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
