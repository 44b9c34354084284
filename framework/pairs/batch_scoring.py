"""Batch scoring: piece by piece to Parquet, in bounded memory; a run that was killed goes on where
it was.

This process cuts the windows of a piece and writes its forecasts; whoever scores it, here or on
another machine, reads and writes no file. Each piece becomes a file in ``OUTPUT.parts``, whole or
not at all; at the end they become one file that appears in one step.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.context import Context
from framework.data.forecast_table import forecast_arrow, plain
from framework.data.vocabulary import OK
from framework.files import atomic_write, exclusive
from framework.interfaces.compute import Compute, Piece
from framework.models.progress import fitting
from framework.pairs.defects import named
from framework.pairs.pair import Pair

#: Seconds between two lines of progress.
_EVERY = 5.0
#: Rows of a row group of the output, whatever the pieces are.
_GROUP = 1 << 18


class WindowSource(Protocol):
    """The windows that are forecast, a range at a time."""

    def pieces(self, size: int) -> list[Piece]:
        """Ranges ``(start, stop)``, in order."""

    def context(self, piece: Piece) -> Context:
        """Their windows."""


class Work(NamedTuple):
    """One piece. Can be pickled."""

    piece: Piece
    context: Context


@dataclass(frozen=True)
class Scorer:
    """The common part of all pieces, of which there are ``pieces``. Can be pickled."""

    pair: Pair
    pieces: int

    def name(self, piece: Piece) -> str:
        """Say which part of the work a piece is."""
        return "predict" if self.pieces == 1 else f"predict: {piece[0] + 1:,} to {piece[1]:,}"


class ScoredPiece(NamedTuple):
    """``failed``: windows without a forecast. ``unseen``: by category, windows with a value that
    training did not see.
    """

    rows: int
    windows: int
    failed: int
    unseen: dict[str, int]


def score_piece(scorer: Scorer, work: Work) -> tuple[Piece, ScoredPiece, bytes]:
    """Forecast one piece.

    Returns:
        The piece, its record, and its forecasts as a Parquet file, which holds the record too.
    """
    piece, context = work
    entities = context.static[:, : len(scorer.pair.schema.entity_keys)]
    with (
        named(
            f"forecast of {len(context):,} windows",
            *(scorer.pair.model, scorer.pair.preprocessor, *scorer.pair.model.parts),
            entities=entities,
            attempt=lambda windows: scorer.pair.forecast(context.take(windows)),
        ),
        fitting(scorer.name(piece)),
    ):
        forecast = scorer.pair.forecast(context)
    failed = sum(status != OK for status in forecast.status)
    table = forecast_arrow(forecast, scorer.pair.schema.entity_keys)
    scored = ScoredPiece(piece[1] - piece[0], len(context), failed, forecast.unseen or {})
    stream = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"scored": json.dumps(scored)}), stream)
    return piece, scored, stream.getvalue().to_pybytes()


@dataclass(frozen=True)
class Scored:
    """Of all pieces, as :class:`ScoredPiece` has it; ``rows``: of the output."""

    rows: int
    windows: int
    failed: int
    unseen: dict[str, int]


def score(
    pair: Pair,
    windows: WindowSource,
    size: int,
    output: Path,
    identity: dict[str, Any],
    compute: Compute,
    say: Callable[[str], None],
) -> Scored:
    """All pieces to ``output``. ``identity``: what makes earlier pieces these; those of anything
    else are thrown away.
    """
    pieces = windows.pieces(size)
    folder = output.with_name(f"{output.name}.parts")
    files = {piece: folder / f"{piece[0]:012}.parquet" for piece in pieces}
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        _begin(folder, {**identity, "pieces": [size, len(pieces), pieces[-1][1]]})
        records = [_scored(file) for file in files.values() if file.is_file()]
        open_pieces = [piece for piece, file in files.items() if not file.is_file()]
        total, read = pieces[-1][1], sum(part.rows for part in records)
        if records:
            say(
                f"predict: goes on after {len(records)} of {len(pieces)} pieces that an "
                "earlier run scored"
            )
        start, last_line, before = monotonic(), monotonic(), read
        works = (Work(piece, windows.context(piece)) for piece in open_pieces)
        results = compute.stream(score_piece, Scorer(pair, len(pieces)), works)
        for piece, record, content in results if open_pieces else ():
            with atomic_write(files[piece]) as stream:
                stream.write(content)
            records.append(record)
            read += record.rows
            if monotonic() - last_line >= _EVERY:
                last_line = monotonic()
                say(
                    f"predict: {read:,} of {total:,} ({100 * read // total} %), "
                    f"{(read - before) / (last_line - start):,.0f}/s"
                )
        rows = _join([*files.values()], output)
        shutil.rmtree(folder)
    unseen = sum((Counter(part.unseen) for part in records), Counter[str]())
    return Scored(
        rows,
        sum(part.windows for part in records),
        sum(part.failed for part in records),
        dict(unseen),
    )


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """One run at a time writes a file."""
    lock = output.with_name(f".{output.name}.lock")
    what = f"predict.output: the writing of {output}"
    with exclusive(lock, what, limit=0, remove=True):
        yield


def _begin(folder: Path, identity: dict[str, Any]) -> None:
    """Keep the pieces of an earlier run that scored the same, and nothing else."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    note = folder / "identity"
    if folder.is_dir() and (not note.is_file() or note.read_text() != digest):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    for remains in folder.glob("*.tmp"):
        remains.unlink()
    note.write_text(digest)


def _scored(path: Path) -> ScoredPiece:
    return ScoredPiece(*json.loads(pq.read_schema(path).metadata[b"scored"]))


def _join(parts: Sequence[Path], output: Path) -> int:
    """Write the pieces as one file, whose bytes do not say where a piece ended. It is on the disk
    before it gets its name.
    """
    schema = plain(pq.read_schema(parts[0])).remove_metadata()
    rows = 0
    with (
        atomic_write(output, durable=True) as stream,
        pq.ParquetWriter(stream, schema) as writer,
    ):
        for group in _groups((pq.read_table(part).cast(schema) for part in parts), schema):
            writer.write_table(group, row_group_size=_GROUP)
            rows += group.num_rows
    return rows


def _groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Cut rows into groups of equal size, the last one smaller, each in one chunk: where a chunk
    ends Parquet may end a page.
    """
    rest = schema.empty_table()
    for table in tables:
        rest = pa.concat_tables([rest, table])
        while rest.num_rows >= _GROUP:
            yield rest.slice(0, _GROUP).combine_chunks()
            rest = rest.slice(_GROUP)
    if rest.num_rows:
        yield rest.combine_chunks()
