"""The offline store on local disk: Parquet, one file for each definition of a view. Shared by the strategies that keep rows here."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import DataError
from framework.interfaces.values import TIME
from framework.interfaces.views import View

if TYPE_CHECKING:
    import pandas as pd


class OfflineStore:
    """Rows of views below ``root``.

    A file has the view's entity keys (text), ``event_timestamp`` (microseconds, UTC), its numbers (float64) and categories
    (text) in the order of ``View.feature_names``, sorted by key and time, no key and time twice. Its name carries a digest of how
    the columns are made, so that rows made by an earlier definition are neither mixed in nor lost.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()

    def path(self, name: str, view: View) -> Path:
        """The file of this view. The ttl is not part of its digest: it is applied when rows are read."""
        return self.root / f"{name}-{hashlib.sha256(view.definition().encode()).hexdigest()[:8]}.parquet"

    def stamp(self, name: str, view: View) -> tuple[int, int, int] | None:
        """Changes whenever the file is replaced; None when there is none."""
        try:
            stat = self.path(name, view).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def rows(self, name: str, view: View) -> int:
        """How many rows are stored."""
        import pyarrow.parquet as pq

        path = self.path(name, view)
        return int(pq.read_metadata(path).num_rows) if path.is_file() else 0

    def read(self, name: str, view: View) -> pd.DataFrame:
        """Every stored row. Raises :class:`DataError` when there are none or the file cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(name, view)
        if not path.is_file():
            raise DataError(f"offline store: view '{name}' has no rows ({path} is missing); run=ingest first.")
        try:
            rows: pd.DataFrame = pq.read_table(path).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"offline store: view '{name}': {path} cannot be read ({_line(error)}); delete it and run=ingest.") from error
        return rows

    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """Add ``rows``; one with the key and the time of a stored or an earlier row replaces it. Returns how many were given, distinct.

        The file is replaced in one step: a killed process leaves the old one. Writers of one view take turns.
        """
        import pandas as pd

        new = _typed(name, view, rows)
        identity = [*view.entity, TIME]
        new = new.drop_duplicates(identity, keep="last")
        path = self.path(name, view)
        self.root.mkdir(parents=True, exist_ok=True)
        with self._alone(path):
            held = [self.read(name, view)] if path.is_file() else []
            merged = pd.concat([*held, new], ignore_index=True) if held else new
            merged = merged.drop_duplicates(identity, keep="last").sort_values(identity, kind="stable")
            self._replace(path, merged)
        return len(new)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """One writer of ``path`` at a time; what a killed one left is removed."""
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.root.glob(f"{path.stem}.*.tmp"):
                left.unlink()
            yield

    def _replace(self, path: Path, rows: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as stream:
                pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), stream, compression="zstd")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _typed(name: str, view: View, rows: pd.DataFrame) -> pd.DataFrame:
    """The view's columns, in order, in the types of the store."""
    import numpy as np
    import pandas as pd

    features = view.feature_names()
    missing = [c for c in (*view.entity, TIME, *features) if c not in rows.columns]
    if missing:
        raise DataError(f"offline store: view '{name}': missing columns {missing}; the rows have {list(rows.columns)}.")
    empty = [c for c in (*view.entity, TIME) if rows[c].isna().any()]
    if empty:
        raise DataError(f"offline store: view '{name}': null in {empty}; every row needs its keys and its time.")
    columns: dict[str, object] = {key: rows[key].astype(str).astype(object).to_numpy() for key in view.entity}
    columns[TIME] = pd.DatetimeIndex(pd.to_datetime(rows[TIME], utc=True)).as_unit("us")
    for feature in features:
        if feature in view.categories:
            columns[feature] = rows[feature].astype(object).where(rows[feature].isna(), rows[feature].astype(str)).to_numpy()
            continue
        try:
            columns[feature] = rows[feature].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"offline store: view '{name}': column '{feature}' is not numeric ({_line(error)}); list it under categories."
            ) from error
    return pd.DataFrame(columns)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
