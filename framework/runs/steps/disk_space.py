"""The disk that a run needs, looked at before the run begins. What does not fit is refused."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from framework.errors import ConfigError
from framework.ingestion.source_changes import tables_of
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.source import Source
from framework.plugins.run import Run

#: Bytes of a small pair with its report and its backtest, and of its copy in the registry.
PAIR = 32 * 2**20


class DiskNeed(NamedTuple):
    """Bytes that will be written below ``folder``, which need not exist; ``what`` they are, and
    what sets the folder.
    """

    folder: Path
    size: int
    what: str
    setting: str = "paths.state"


def temporary_need(size: int, what: str) -> DiskNeed:
    """Estimate what is written among the temporary files of the system."""
    return DiskNeed(Path(tempfile.gettempdir()), size, what, "TMPDIR")


def ingestion_need(run: Run, source: Source, strategy: RetrievalStrategy) -> list[DiskNeed]:
    """Estimate what an ingestion writes, at least.

    The store is replaced by a new one while the old one is still there. The new one has about the
    size of the source's tables, or of the old one where that is larger.

    Args:
        run: The run.
        source: The source that is read.
        strategy: Where the rows are stored.

    Returns:
        The needs; none where the store is no folder of this machine.
    """
    features = run.config.features
    place = strategy.disk(features)
    if place is None:
        return []
    folder, size = place
    tables = [table for name, view in features.views.items() for table in tables_of(name, view)]
    return [DiskNeed(folder, max(size, source.size(tables) or 0), "the rows of the store")]


def pair_need(run: Run) -> DiskNeed:
    """Estimate what a training or a backtest writes beside the store, at least."""
    return DiskNeed(run.directory, PAIR, "a pair with its report")


def check_disk(run: Run, needs: Iterable[DiskNeed]) -> None:
    """Refuse a run that a disk has no room for.

    Args:
        run: The run.
        needs: What it writes.

    Raises:
        ConfigError: A disk has less room than that; the message says where and how much.
    """
    by_disk: dict[int, list[DiskNeed]] = defaultdict(list)
    for need in (need for need in needs if need.size):
        by_disk[_existing(need.folder).stat().st_dev].append(need)
    for parts in by_disk.values():
        size, folder = sum(part.size for part in parts), _existing(parts[0].folder)
        free = shutil.disk_usage(folder).free
        if size > free:
            what = " and ".join(part.what for part in parts)
            settings = " and ".join(dict.fromkeys(part.setting for part in parts))
            raise ConfigError(
                f"{settings}: the disk of {folder} has {_bytes(free)} free, and "
                f"run={run.config.run} writes about {_bytes(size)} there ({what}); make room, or "
                f"set {settings} to a folder of a larger disk."
            )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.resolve()
    return next(each for each in (folder, *folder.parents) if each.exists())


def _bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MB"
