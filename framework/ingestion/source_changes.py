"""Changes of the source since the store was filled from it: its fingerprint is kept with each
ingestion and compared by later runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.fingerprint import first_difference
from framework.errors import FrameworkError
from framework.features.operations import Join
from framework.files import atomic_write

if TYPE_CHECKING:
    from framework.config.config import Config
    from framework.features.views import View
    from framework.interfaces.source import Source


def tables_of(name: str, view: View) -> list[str]:
    """Return the tables of the source that the view is made of: its own and those that it joins."""
    return list(
        dict.fromkeys(
            [view.table or name, *(op.table for op in view.engineer if isinstance(op, Join))]
        )
    )


def keep(config: Config, name: str, prints: dict[str, str]) -> None:
    """Record that the view was ingested now, from a source with this fingerprint."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    record = {"at": at, "source": config.component("source").name, "fingerprint": prints}
    with atomic_write(_path(config, name)) as stream:
        stream.write(json.dumps(record).encode())


def source_changes(
    config: Config, open_source: Callable[[], Source], say: Callable[[str], None]
) -> list[str]:
    """Say on stderr, and return for the result, that the source differs from what the store holds.

    Nothing is returned where that cannot be told: no ingestion is recorded, the source cannot be
    read from here, or it has no fingerprint without being read.
    """
    records = {name: _read(_path(config, name)) for name in config.features.views}
    if not any(records.values()):
        return []
    try:
        source = open_source()
        try:
            lines = [
                _difference(config, source, name, record)
                for name, record in records.items()
                if record is not None
            ]
        finally:
            source.close()
    except FrameworkError as error:
        say(f"the source cannot be compared with what was ingested: {error}")
        return []
    changed = list(dict.fromkeys(line for line in lines if line))[:1]
    for line in changed:
        say(line)
    return changed


def _difference(config: Config, source: Source, name: str, record: dict[str, Any]) -> str:
    """Describe what differs for one view; empty when nothing does, or nobody can tell."""
    selected, view = config.component("source").name, config.features.views[name]
    if record["source"] != selected:
        what = f"it was source={record['source']}, now it is source={selected}"
    else:
        prints = source.fingerprint_of(tables_of(name, view)) if record["fingerprint"] else {}
        what = first_difference(record["fingerprint"], prints) or ""
    return (
        f"the source differs from what was ingested on {record['at']} ({what}); run=ingest reads it"
        if what
        else ""
    )


def _path(config: Config, name: str) -> Path:
    """One file for each definition of a view and each kind of store."""
    view = config.features.views[name]
    recipe = "\n".join([view.table or name, view.definition(), config.component("retrieval").name])
    return (
        config.paths.state
        / "ingest"
        / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}.source.json"
    )


def _read(path: Path) -> dict[str, Any] | None:
    """None where there is none, or what is there is no record: nothing can be told then."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return (
        record
        if isinstance(record, dict) and {"at", "source", "fingerprint"} <= record.keys()
        else None
    )
