"""Contract suite of sources. Subclass it in a plugin's tests::

class TestMine(SourceContract):
    def make(self, tmp_path: Path, rows: pd.DataFrame) -> Source:
        write(rows, tmp_path / "sales.csv")
        return MySource(MyOptions(path=tmp_path))
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pandas as pd

from framework.data.canonical_text import category_texts
from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.features.views import View
from framework.interfaces.source import Roles, Source
from framework.testing.contracts.component import only_options
from framework.testing.contracts.findings import refusal

#: The only table that a source of the suite has.
TABLE = "sales"
VIEW = View.model_validate(
    {"entity": ["shop"], "columns": ["y", "kind"], "categories": ["kind"], "ttl": "1d"}
)


def sales() -> pd.DataFrame:
    """Make the rows of the table: two series, a key with leading zeros, a null number and a null
    category, texts with quotes and commas, a time between two seconds.

    Returns:
        ``shop`` and ``kind`` (text), ``event_timestamp`` (UTC), ``y``.
    """
    days = pd.date_range("2024-03-01", periods=3, freq="D", tz="UTC")
    rows = pd.DataFrame(
        {
            "shop": ["007", "007", "007", "b", "b", "b"],
            TIME: [*days, *(days + pd.Timedelta(microseconds=250_000))],
            "y": [1.5, None, 0.1, -2.0, 3e9, 4.0],
            "kind": ["x", "a, b", None, 'say "hi"', "x", "ü"],
        }
    )
    rows[TIME] = rows[TIME].dt.as_unit("us")
    return rows


def plain(rows: pd.DataFrame) -> list[tuple[object, ...]]:
    """Make rows comparable, whichever types a source gives them.

    Args:
        rows: Rows of the suite's table.

    Returns:
        Shop, time, number and kind of each row; None for null.
    """
    columns = [
        [None if text in (None, "") else text for text in category_texts(rows["shop"])],
        list(utc_times(rows[TIME], "the source")),
        [None if pd.isna(y) else float(y) for y in pd.to_numeric(rows["y"])],
        [None if text in (None, "") else text for text in category_texts(rows["kind"])],
    ]
    return list(zip(*columns, strict=True))


class SourceContract:
    """The promises of every source."""

    @abstractmethod
    def make(self, tmp_path: Path, rows: pd.DataFrame) -> Source:
        """Make a source that holds ``rows`` and nothing else as :data:`TABLE`.

        Args:
            tmp_path: A folder of the test's own.
            rows: What :func:`sales` gives, or some of it.

        Returns:
            The source. A later call has other rows in the same place.
        """

    def stored(
        self, source: Source, position: str | None = None
    ) -> tuple[list[tuple[object, ...]], str | None]:
        """Read all batches and say of each that it is stored, as an ingestion does.

        Args:
            source: The source, which is closed.
            position: The newest position that was stored.

        Returns:
            The rows, as :func:`plain` makes them, and the last position.
        """
        rows: list[tuple[object, ...]] = []
        for batch in source.batches(TABLE, VIEW, position):
            rows += plain(batch.rows) if len(batch.rows) else []
            position = batch.position if batch.position is not None else position
            if batch.stored is not None:
                batch.stored()
        source.close()
        return rows, position

    def expect_rows(
        self, actual: list[tuple[object, ...]], expected: pd.DataFrame, doing: str
    ) -> None:
        """Check rows that a source gave.

        Args:
            actual: As :func:`plain` makes them.
            expected: The rows that the table holds.
            doing: What was done, as the subject of a sentence.

        Raises:
            AssertionError: They differ; the message names the first.
        """
        rows = plain(expected)
        assert len(actual) == len(rows), f"{doing} gives {len(actual)} rows of {len(rows)}."
        for row, other in zip(actual, rows, strict=True):
            assert row == other, (
                f"{doing} gives {row} of (shop, time, y, kind), where the table holds {other}: "
                "a key stays the text that it is, a time the moment that it is in UTC, a null a "
                "null, and rows keep the source's order."
            )

    def test_the_constructor_only_stores_the_options(self, tmp_path: Path) -> None:
        only_options(self.make(tmp_path, sales()))

    def test_every_row_is_read_in_order_each_time(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, sales())
        roles = Roles.of_view(VIEW)
        for doing in ("read_as", "read_as a second time"):
            rows = source.read_as(TABLE, roles)
            absent = {"shop", TIME, "y", "kind"} - {*rows.columns}
            assert not absent, f"{doing} gives no column {sorted(absent)}."
            self.expect_rows(plain(rows), sales(), doing)
        source.close()

    def test_batches_give_every_row_once(self, tmp_path: Path) -> None:
        rows, _ = self.stored(self.make(tmp_path, sales()))
        self.expect_rows(rows, sales(), "all batches together, from the beginning")

    def test_a_later_ingestion_misses_no_row(self, tmp_path: Path) -> None:
        """Rows may come again, but none that is new may be left out."""
        early = sales().iloc[:4]
        _, position = self.stored(self.make(tmp_path, early))
        rows, _ = self.stored(self.make(tmp_path, sales()), position)
        lacking = set(plain(sales().iloc[4:])) - set(rows)
        assert not lacking, (
            f"an ingestion from the position {position!r} of an earlier one misses the new rows "
            f"{sorted(lacking, key=str)}: a position is where the last stored row was, and of "
            "several rows at one place all come again."
        )
        strange = set(rows) - set(plain(sales()))
        assert not strange, f"a later ingestion gives {sorted(strange, key=str)}, which is nowhere."

    def test_equal_data_has_an_equal_fingerprint_and_other_data_another(
        self, tmp_path: Path
    ) -> None:
        def printed(rows: pd.DataFrame) -> dict[str, str]:
            source = self.make(tmp_path, rows)
            for batch in source.batches(TABLE, VIEW, None):
                if batch.stored is not None:
                    batch.stored()
            fingerprint = source.fingerprint()
            source.close()
            return fingerprint

        first = printed(sales())
        assert first, "fingerprint() after a table was read is empty."
        second = printed(sales())
        assert second == first, (
            f"fingerprint() of equal data is {second}, before it was {first}: it holds a time, or "
            "the place of the data, and not its content."
        )
        changed = sales()
        changed.loc[5, "y"] = 5.0
        assert printed(changed) != first, (
            "fingerprint() stays the same when a value changes, so that nobody would know that a "
            "pair was trained on other data."
        )

    def test_a_table_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, sales())
        refusal(
            lambda: source.read("nowhere"),
            DataError,
            "the table 'nowhere', which is not there,",
            "nowhere",
        )
        source.close()
