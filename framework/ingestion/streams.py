"""The common part of sources of streams: rows out of entries, and what becomes of an entry that is
no row.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.ingestion.stream_tables import BadEntryError, StreamTable
from framework.interfaces.source import Batch, Source

if TYPE_CHECKING:
    import pandas as pd

    from framework.features.views import View


#: The fewest entries whose common fault is taken for one of the configuration: one says too little.
_ALIKE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream.

    Args:
        name: What identifies it in its stream, for messages.
        body: What the client gave.
        part: Which ordered part of the stream it is in, such as a partition.
    """

    name: str
    body: Any
    part: str = ""


class StreamSource(Source):
    """A source whose tables are streams. A subclass reads entries and keeps its place; this class
    makes rows of them.
    """

    #: The component's name, and what its streams and entries are called in messages.
    name: ClassVar[str]
    words: ClassVar[tuple[str, str]] = ("stream", "entry")
    #: The option that has the streams by table.
    streams_option: ClassVar[str] = "streams"
    #: Behind the name of a stream: the name of the stream that its parked entries are in.
    parked_suffix: ClassVar[str]

    @abstractmethod
    def stream_of(self, table: str) -> tuple[str, StreamTable]:
        """Find the stream of a table.

        Args:
            table: The table's name.

        Returns:
            The stream's own name, and how its entries become rows.
        """

    @abstractmethod
    def fields_of(self, table: str, entry: Entry) -> Mapping[str, Any]:
        """Decode an entry.

        Args:
            table: The table's name.
            entry: The entry.

        Returns:
            The values by field.

        Raises:
            BadEntryError: It cannot be decoded.
        """

    @abstractmethod
    def bytes_of(self, entry: Entry) -> bytes:
        """Write all that makes an entry what it is, for the fingerprint.

        Args:
            entry: The entry.

        Returns:
            The bytes, equal for equal entries.
        """

    @abstractmethod
    def park(self, table: str, entry: Entry, why: str) -> None:
        """Copy an entry that is no row to where bad entries of the table are kept. It is there for
        sure once the batch is said to be stored.

        Args:
            table: The table's name.
            entry: The entry.
            why: The reason.
        """

    def took(self, table: str, view: View, row: Mapping[str, Any], entry: Entry) -> None:
        """Look at an entry that became a row; for a source that has doubts of its own.

        Args:
            table: The table's name.
            view: The view that the row is for.
            row: The row.
            entry: Its entry.
        """

    def parked_in(self, table: str) -> str:
        """Name the stream that parked entries are in.

        Args:
            table: The table's name.

        Returns:
            The stream's name.
        """
        return self.stream_of(table)[0] + self.parked_suffix

    def warnings(self) -> list[str]:
        """Return what was doubtful: each line once, such as that entries were parked."""
        return list(self._doubts)

    def doubt(self, line: str) -> None:
        """Add a line to :meth:`warnings`, unless it is there.

        Args:
            line: The line, without a count that grows: a source that follows is asked again.
        """
        self._doubts.setdefault(line)

    @property
    def poll(self) -> float | None:
        follow: float | None = self.options.follow
        return follow

    def fingerprint(self) -> dict[str, str]:
        """Return ``{"stream (entries)": sha256}`` over the entries that were given, in the order of
        each part.
        """
        return {
            f"{stream} (entries)": hashlib.sha256(
                "".join(parts[part].hexdigest() for part in sorted(parts)).encode()
            ).hexdigest()
            for stream, parts in self._digests.items()
        }

    def table_of(self, table: str, entries: Iterable[Entry]) -> pd.DataFrame:
        """Make the rows of :meth:`Source.read`: the entries with their own types.

        Args:
            table: The table's name.
            entries: All of its entries.

        Returns:
            The fields as columns, renamed; ``event_timestamp`` is a moment in UTC.

        Raises:
            DataError: An entry cannot be decoded, or none has a time.
        """
        import pandas as pd

        from framework.ingestion.stream_rows import time_of

        stream, spec = self.stream_of(table)
        records = []
        for entry in entries:
            try:
                fields = {spec.rename.get(k, k): v for k, v in self.fields_of(table, entry).items()}
                if TIME in fields:
                    fields[TIME] = time_of(TIME, fields[TIME], spec.date_format)
            except BadEntryError as error:
                raise self._refusal(stream, entry, str(error)) from None
            records.append(fields)
        rows = pd.DataFrame(records)
        if TIME not in rows.columns:
            raise DataError(
                f"source={self.name}: {self.words[0]} '{stream}': no field '{TIME}'; it "
                f"has {list(rows.columns)}."
            )
        return rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True).dt.as_unit("us")})

    def batch(
        self,
        table: str,
        view: View,
        entries: Sequence[Entry],
        position: str | None,
        on_stored: Callable[[], None] | None,
    ) -> Batch:
        """Make one batch of entries; those that are no rows are parked, or refused. Where all fail
        alike and none was a row before, the configuration is taken to be wrong.

        Args:
            table: The table's name.
            view: The view that the rows are for.
            entries: In the order of the stream.
            position: Where the source has got to with them.
            on_stored: Called when they are stored.

        Returns:
            The batch.

        Raises:
            ConfigError: No entry is a row, all for the same reason, and none was before.
            DataError: An entry is no row, and ``bad_entries`` is ``refuse``.
        """
        import pandas as pd

        from framework.ingestion.stream_rows import row_of

        stream, spec = self.stream_of(table)
        digests = self._digests.setdefault(stream, {})
        rows, good = [], []
        bad: list[tuple[Entry, BadEntryError]] = []
        for entry in entries:
            digests.setdefault(entry.part, hashlib.sha256()).update(self.bytes_of(entry))
            try:
                row = row_of(view, self.fields_of(table, entry), spec)
            except BadEntryError as error:
                if self.options.bad_entries == "refuse":
                    raise self._refusal(stream, entry, str(error)) from None
                bad.append((entry, error))
                continue
            self.took(table, view, row, entry)
            rows.append(row)
            good.append(entry)

        if rows:
            self._read_well.add(table)
        elif table not in self._read_well:
            self._refuse_configuration(table, bad)
        for entry, fault in bad:
            self._bad(table, entry, str(fault))

        def reject(row: int, why: str) -> None:
            self._bad(table, good[row], why)

        columns = [*view.identity(), *view.columns]
        return Batch(
            pd.DataFrame(rows, columns=columns), position=position, stored=on_stored, reject=reject
        )

    def _refuse_configuration(self, table: str, bad: Sequence[tuple[Entry, BadEntryError]]) -> None:
        """Raise :class:`ConfigError` where entries, of which none is a row, fail alike."""
        if len(bad) < _ALIKE or len({(error.field, error.option) for _, error in bad}) > 1:
            return
        kind, one = self.words
        entry, error = bad[0]
        raise ConfigError(
            f"source.{self.streams_option}.{table}.{error.option}: none of the first {len(bad)} of "
            f"{kind} '{self.stream_of(table)[0]}' is a row, all for one reason: {one} "
            f"{entry.name}: {error}; mend the option, or the sender. Nothing was parked: that "
            "happens beside one that is a row."
        )

    def _bad(self, table: str, entry: Entry, why: str) -> None:
        """Park an entry, or refuse it as ``bad_entries`` says."""
        if self.options.bad_entries == "refuse":
            raise self._refusal(self.stream_of(table)[0], entry, why)
        self.park(table, entry, why)
        if table not in self._parking:
            self._parking.add(table)
            kind, one = self.words
            self.doubt(
                f"source={self.name}: {kind} '{self.stream_of(table)[0]}' has what is no row, the "
                f"first {one} {entry.name}: {why}; it is left out, as all like it are, and kept in "
                f"'{self.parked_in(table)}'"
            )

    def _refusal(self, stream: str, entry: Entry, why: str) -> DataError:
        kind, one = self.words
        return DataError(
            f"source={self.name}: {kind} '{stream}': {one} {entry.name}: {why}; mend it, or set "
            "source.bad_entries=park."
        )

    @cached_property
    def _doubts(self) -> dict[str, None]:
        """The lines of :meth:`warnings`, in their order."""
        return {}

    @cached_property
    def _read_well(self) -> set[str]:
        """The tables of which an entry was a row."""
        return set()

    @cached_property
    def _parking(self) -> set[str]:
        """The tables of which an entry was parked."""
        return set()

    @cached_property
    def _digests(self) -> dict[str, dict[str, Any]]:
        """The digest of each part of each stream, by the names of both."""
        return {}
