"""The row store on local disk: one Parquet file for each definition of a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import DataError
from framework.features.views import INSERTED, View
from framework.files import LONG_PATIENCE, atomic_write, exclusive, remove_remains
from framework.retrieval.newest_rows import last_of_runs
from framework.retrieval.parquet_parts import open_files, parts_of
from framework.retrieval.parquet_writer import SortedWriter
from framework.retrieval.row_store import (
    RowStore,
    Tables,
    _line,
    _marked,
    _moments,
    _plain,
    digest_of,
    distinct,
    typed,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class OfflineStore(RowStore):
    """One Parquet file below ``root`` for each definition of a view, sorted by identity; its name
    carries the definition's digest.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()

    def path(self, name: str, view: View) -> Path:
        """Name the file of a view.

        Args:
            name: The view's name.
            view: The view.

        Returns:
            The path, whether or not the file exists.
        """
        return self.root / f"{name}-{digest_of(view)}.parquet"

    def stamp(self, name: str, view: View) -> tuple[int, int, int, int] | None:
        """Describe the state of a view's file, which changes whenever the file is replaced or
        written over, by whatever copy.

        Args:
            name: The view's name.
            view: The view.

        Returns:
            Device, inode, time of change and size; None when there is no file.
        """
        try:
            stat = self.path(name, view).stat()
        except FileNotFoundError:
            return None
        return (
            stat.st_dev,
            stat.st_ino,
            stat.st_ctime_ns,
            stat.st_size,
        )  # a restored copy may bring its old mtime along

    def disk(self, views: Mapping[str, View]) -> tuple[Path, int] | None:
        stamps = [self.stamp(name, view) for name, view in views.items()]
        return self.root, sum(stamp[-1] for stamp in stamps if stamp is not None)

    def rows(self, name: str, view: View) -> int:
        import pyarrow.parquet as pq

        path = self.path(name, view)
        return int(pq.read_metadata(path).num_rows) if path.is_file() else 0

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        path = self.path(name, view)
        if not path.is_file():
            raise DataError(
                f"offline store: view '{name}' has no rows ({path} is missing); run=ingest first."
            )
        texts = [c for c in (*view.entity, *view.categories) if c in {*view.entity, *features}]
        with _readable(name, path), pq.ParquetFile(path, read_dictionary=texts) as file:
            return _marked(file.read(columns=[*view.identity(), *features]), features)

    @contextmanager
    def parts(
        self, views: Mapping[str, View], primary: str, rows: int
    ) -> Iterator[Sequence[Tables]]:
        """The files stay open, so that every part is of the same rows, whoever replaces them."""
        counts = [self.rows(name, view) for name, view in views.items()]
        if not all(counts) or self.rows(primary, views[primary]) <= rows:
            yield [self]
            return
        paths = {name: (self.path(name, view), view) for name, view in views.items()}
        with _readable(primary, paths[primary][0]), open_files(paths) as files:
            yield parts_of(files, primary, rows)

    def entities(self, name: str, view: View) -> pd.DataFrame:
        """Read the keys alone, row group by row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, keys = self.path(name, view), list(view.entity)
        if not path.is_file() or not keys:
            return super().entities(name, view)
        with _readable(name, path), pq.ParquetFile(path, read_dictionary=keys) as file:
            parts = [
                _plain(last_of_runs(file.read_row_group(number, columns=keys), keys))
                for number in range(file.num_row_groups)
            ]
            entities: pd.DataFrame = last_of_runs(pa.concat_tables(parts), keys).to_pandas()
        return entities

    def narrowed(self, name: str, view: View, series: pd.DataFrame) -> pa.Table:
        """Read row group by row group, so that what is in memory is what is wanted."""
        import pyarrow.parquet as pq

        path = self.path(name, view)
        texts = {key: series[key].drop_duplicates().astype(str).tolist() for key in view.entity}
        selection: list[tuple[str, str, object]] = [(key, "in", texts[key]) for key in texts]
        for key in (key for key in texts if texts[key]):  # leaves out the row groups of others
            selection += [(key, ">=", min(texts[key])), (key, "<=", max(texts[key]))]
        with _readable(name, path):
            names = {*pq.read_schema(path).names}
            columns = [
                c for c in (*view.identity(), *self.kept(view)) if c in names or c != INSERTED
            ]
            return _marked(pq.read_table(path, columns=columns, filters=selection), self.kept(view))

    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """The file is replaced in one step: a killed process leaves the old one. Writers of one
        view take turns.
        """
        import pyarrow as pa

        new = distinct(view, typed(name, view, rows))
        path = self.path(name, view)
        self.root.mkdir(parents=True, exist_ok=True)
        with self._alone(path):
            tables = (
                [self.table(name, view, self.kept(view)).cast(new.schema)] if path.is_file() else []
            )
            self._replace(path, distinct(view, pa.concat_tables([*tables, new])) if tables else new)
        return int(new.num_rows)

    @contextmanager
    def writing(self, name: str, view: View) -> Iterator[Callable[[pd.DataFrame], int]]:
        """The new file is written while the pieces come: what is in memory is one of them, and one
        row group of the old file.
        """
        path = self.path(name, view)
        self.root.mkdir(parents=True, exist_ok=True)
        with self._alone(path), ExitStack() as files:
            writer: SortedWriter | None = None

            def add(rows: pd.DataFrame) -> int:
                nonlocal writer
                if not len(rows):
                    return 0
                piece = distinct(view, typed(name, view, rows))
                if writer is None:
                    stream = files.enter_context(atomic_write(path, durable=True))
                    old = files.enter_context(self._stored(name, view, path, piece.schema))
                    writer = SortedWriter(stream, view, piece.schema, old)
                    files.callback(writer.end)
                writer.add(piece)
                return int(piece.num_rows)

            yield add
            if writer is not None:
                writer.finish()

    @contextmanager
    def _stored(
        self, name: str, view: View, path: Path, schema: pa.Schema
    ) -> Iterator[Iterator[pa.Table]]:
        """The rows of the file, a row group at a time; none where there is no file."""
        import pyarrow.parquet as pq

        if not path.is_file():
            yield iter(())
            return
        features = self.kept(view)
        with _readable(name, path), pq.ParquetFile(path) as file:
            names = {*file.schema_arrow.names}
            columns = [c for c in (*view.identity(), *features) if c in names or c != INSERTED]
            yield (
                _marked(file.read_row_group(number, columns=columns), features).cast(schema)
                for number in range(file.num_row_groups)
            )

    def remove(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """Take rows out, in one step.

        Args:
            name: The view's name.
            view: The view.
            rows: The identity of the rows.

        Returns:
            How many of them were stored.
        """
        import pyarrow as pa

        path, keys = self.path(name, view), list(view.identity())
        removed_keys = {
            k: pa.array(rows[k], pa.string()) if k in view.entity else _moments(rows[k])
            for k in keys
        }
        with self._alone(path):
            table = _plain(self.table(name, view, self.kept(view)))
            rest = table.join(pa.table(removed_keys), keys=keys, join_type="left anti").select(
                table.column_names
            )
            if rest.num_rows:
                self._replace(path, distinct(view, rest))
            else:
                path.unlink()
        return int(table.num_rows - rest.num_rows)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """One writer of ``path`` at a time; what a killed one left is removed."""
        what = f"the writing of {path.name}"
        with exclusive(path.with_suffix(".lock"), what, limit=LONG_PATIENCE):
            remove_remains(path)
            yield

    def _replace(self, path: Path, rows: pa.Table) -> None:
        import pyarrow.parquet as pq

        with atomic_write(path, durable=True) as stream:
            pq.write_table(rows, stream, compression="zstd")


@contextmanager
def _readable(name: str, path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"offline store: view '{name}': {path} cannot be read ({_line(error)}); delete "
            "it and run=ingest."
        ) from error
