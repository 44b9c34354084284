"""Notes beside the online rows: how far each view has come, and with how long a window."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from framework.features.views import FeatureSet
from framework.files import atomic_write
from framework.interfaces.retrieval import Needs
from framework_feast import FeastOptions
from framework_feast.records.packed import definition
from framework_feast.records.records import RecordStore, online_store


class Notes(Protocol):
    """A keeper of texts by name; a :class:`RecordStore` is one."""

    def mark(self, name: str) -> str | None:
        """Return the newest text under ``name``."""

    def set_mark(self, name: str, text: str) -> None:
        """Keep it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``through``: the time (microseconds) up to which a view is online without a hole. ``window``:
    how many rows of each entity.
    """

    through: int
    window: int


def notes_of(options: FeastOptions, records: RecordStore | None) -> Notes:
    """Beside the packed records, in files where there are none."""
    return _Files(options) if records is None else records


def window_length(options: FeastOptions, name: str, needs: Needs | None) -> int:
    """Return how many rows of a view stay online up to the newest actual.

    The options and the needs of a context decide.
    """
    return max(options.window_of(name), 1 if needs is None else needs.steps)


def longest_window(options: FeastOptions, definition: str) -> int:
    """Return the longest window of a view that was ever wanted online from this machine.

    It is in rows of each entity, and 1 where nothing is known.

    It is kept beside the offline rows: a store that was lost is filled again for every model that
    it was filled for.
    """
    text = _Files(options).mark(f"{definition}.window")
    return 1 if text is None else int(text)


def raise_longest_window(options: FeastOptions, definition: str, length: int) -> None:
    if length > longest_window(options, definition):
        _Files(options).set_mark(f"{definition}.window", str(length))


def read_mark(notes: Notes, definition: str) -> Mark | None:
    """None where the view was never online without a hole."""
    text = notes.mark(definition)
    return None if text is None else Mark(**json.loads(text))


def write_mark(notes: Notes, definition: str, mark: Mark) -> None:
    notes.set_mark(definition, json.dumps(asdict(mark)))


def newest_actual(notes: Notes, features: FeatureSet) -> int | None:
    """Of all series of the primary view, in microseconds, as the last writer of that view knew
    it.
    """
    text = notes.mark(_actual(features))
    return None if text is None else int(text)


def raise_newest_actual(notes: Notes, features: FeatureSet, time: int) -> None:
    """Note a newer one; an older one changes nothing."""
    previous = newest_actual(notes, features)
    if previous is None or time > previous:
        notes.set_mark(_actual(features), str(time))


def _actual(features: FeatureSet) -> str:
    return f"actual-{definition(features.primary, features.views[features.primary])}"


class _Files:
    """One small file for each store and note."""

    def __init__(self, options: FeastOptions) -> None:
        place = json.dumps(
            [options.store.get("project"), online_store(options.store)], sort_keys=True, default=str
        )
        self._folder, self._store = (
            Path(options.state),
            hashlib.sha256(place.encode()).hexdigest()[:8],
        )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.{self._store}.mark"

    def mark(self, name: str) -> str | None:
        path = self._path(name)
        return path.read_text() if path.is_file() else None

    def set_mark(self, name: str, text: str) -> None:
        with atomic_write(self._path(name)) as stream:
            stream.write(text.encode())
