"""Contract suite of ledgers. Subclass it in a plugin's tests::

class TestMine(LedgerContract):
    name = "mine"
    options: ClassVar = {"url": …}
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.vocabulary import OK, TIME, UNKNOWN_ENTITY
from framework.errors import ConfigError
from framework.interfaces.ledger import LedgerCounts, LedgerOptions
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import Kind
from framework.interfaces.registry import PairVersion
from framework.testing import fakes
from framework.testing.contracts.component import ComponentContract

ORIGIN = np.datetime64("2024-05-01", "us")
KEYS = ("airport", "carrier")


def no_count(outcome: str, forecasts: int) -> None:
    """Count nothing.

    Args:
        outcome: What became of forecasts.
        forecasts: How many.
    """


class LedgerContract(ComponentContract):
    """The promises of every ledger."""

    kind: ClassVar[Kind] = "ledger"

    def serve(
        self,
        state: Path,
        airports: Sequence[str],
        at: datetime | None = None,
        quantiles: tuple[float, ...] = (0.1, 0.9),
        count: Callable[[str, int], None] = no_count,
        **options: Any,
    ) -> Any:
        """Answer one request for some entities, and give the writer, which still is open.

        Args:
            state: The folder for what a server keeps.
            airports: The entities; one that is called ``nowhere`` has no forecast.
            at: When the forecasts were made; now.
            quantiles: Of the forecasts.
            count: Is told what became of them.
            options: Of the ledger.

        Returns:
            The writer.
        """
        ledger = self.make(**options)
        writer = ledger.writer("fake", state, count)
        assert writer is not None
        schema, n = fakes.make_schema(), len(airports)
        status = [UNKNOWN_ENTITY if name == "nowhere" else OK for name in airports]
        values = np.arange(n * 3 * 2 * (1 + len(quantiles))).reshape(n, 3, 2, -1) / 7
        values[[word != OK for word in status]] = np.nan
        forecast = Forecast(
            np.full(n, ORIGIN),
            ORIGIN + np.arange(1, 4) * np.timedelta64(1, "D") + np.zeros((n, 1), dtype="m8[us]"),
            np.array([[name, "DL"] for name in airports], dtype=object),
            values,
            ("departures", "delay"),
            quantiles,
            status,
            [None] * n,
        )
        context = Context(
            np.full(n, ORIGIN),
            np.full((n, 2, len(schema.past)), 1.5),
            np.zeros((n, 3, len(schema.known))),
            np.array([[name, "DL", "spring"] for name in airports], dtype=object),
            status,
            [None] * n,
        )
        pair = PairVersion("fake", 3, "id", "d" * 64, "run", "2024-05-01")
        arm = ServedArm("production", "production", pair, schema, False)
        request = ServedRequest("id-1", at or datetime.now(UTC), n)
        serve = writer.hooks.forecasts_served
        writer.offered(n)
        if "context" in inspect.signature(serve).parameters:
            serve(arm, forecast, request, context)
        else:
            serve(arm, forecast, request)
        return writer

    def read(self, state: Path, columns: Sequence[str] = ("*",), **since: Any) -> pa.Table:
        """Read all pieces as one table, in a fixed order.

        Args:
            state: The folder for what a server keeps.
            columns: Those that are wanted.
            since: Given as ``since=``, when the oldest forecast was made.

        Returns:
            The table, without columns where there is nothing.
        """
        pieces = list(self.make().read("fake", state, columns, since.get("since")))
        if not pieces:
            return pa.table({})
        table = pa.concat_tables(pieces, promote_options="default")
        order = [(name, "ascending") for name in ("airport", "target", "step")]
        return table.sort_by([key for key in order if key[0] in table.column_names])

    def test_what_was_served_is_read_again_bit_for_bit(self, tmp_path: Path) -> None:
        names = ["JFK", "nowhere", 'a "b", c\nd', "", "Zürich"]
        self.serve(tmp_path, names).hooks.server_stopped()
        table = self.read(tmp_path)
        assert len(table) == 4 * 3 * 2 + 2
        assert sorted(set(table["airport"].to_pylist())) == sorted(names)
        one = table.filter(pa.compute.equal(table["airport"], "JFK")).to_pylist()
        assert [row["mean"] for row in one if row["target"] == "departures"] == [0.0, 6 / 7, 12 / 7]
        assert [row["q0.9"] for row in one if row["target"] == "delay"] == [5 / 7, 11 / 7, 17 / 7]
        assert {row["step"]: str(row[TIME])[:10] for row in one}[3] == "2024-05-04"
        for name in ("at", "origin", TIME):
            assert table.schema.field(name).type == pa.timestamp("us", tz="UTC")
        row = one[0]
        assert (row["arm"], row["version"], row["digest"]) == ("production", 3, "d" * 64)
        assert (row["request_id"], row["shadow"], row["stale"]) == ("id-1", False, None)
        unknown_rows = table.filter(pa.compute.equal(table["airport"], "nowhere")).to_pylist()
        assert {row["status"] for row in unknown_rows} == {UNKNOWN_ENTITY}
        assert {row["mean"] for row in unknown_rows} == {None}

    def test_wanted_columns_and_newer_rows_alone_are_read(self, tmp_path: Path) -> None:
        now = datetime.now(UTC)
        self.serve(tmp_path, ["old"], at=now - timedelta(days=2)).hooks.server_stopped()
        self.serve(tmp_path, ["new"], at=now, quantiles=(0.5,)).hooks.server_stopped()
        table = self.read(tmp_path, ["at", "airport", "q*", "nothing"])
        assert sorted(table.column_names) == ["airport", "at", "q0.1", "q0.5", "q0.9"]
        assert len(table) == 12
        recent = self.read(tmp_path, ["airport", "at"], since=now - timedelta(hours=1))
        assert set(recent["airport"].to_pylist()) == {"new"}

    def test_a_ledger_that_nobody_wrote_is_empty(self, tmp_path: Path) -> None:
        assert list(self.make().read("nobody", tmp_path, ["*"], None)) == []
        assert self.make().counts("nobody", tmp_path) == LedgerCounts(0, 0)

    def test_every_forecast_is_counted(self, tmp_path: Path) -> None:
        outcomes: list[tuple[str, int]] = []
        writer = self.serve(
            tmp_path, ["a", "b"], count=lambda outcome, n: outcomes.append((outcome, n))
        )
        ledger = self.make()
        assert ledger.counts("fake", tmp_path) == LedgerCounts(0, 2)
        writer.offered(5)
        writer.hooks.forecasts_dropped(5)
        writer.hooks.server_stopped()
        assert ledger.counts("fake", tmp_path) == LedgerCounts(5, 0)
        assert sorted(outcomes) == [("dropped", 5), ("written", 2)]

    def test_what_a_killed_process_lost_is_counted(self, tmp_path: Path) -> None:
        for killed in (True, False):
            child = os.fork()
            if not child:
                try:
                    writer = self.serve(tmp_path, ["a", "b", "c"], rows=1)  # written at once
                    writer.offered(4)
                    if not killed:
                        writer.hooks.forecasts_dropped(4)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        for _ in range(2):  # it says the same when it is asked again
            assert self.make().counts("fake", tmp_path) == LedgerCounts(8, 0)
        assert len(self.read(tmp_path)) == 2 * 3 * 6

    def test_nothing_is_written_with_a_share_of_zero(self, tmp_path: Path) -> None:
        assert self.make(share=0).writer("fake", tmp_path, no_count) is None

    def test_columns_are_left_out_hashed_or_have_the_features(self, tmp_path: Path) -> None:
        writer = self.serve(
            tmp_path,
            ["a", "b"],
            features="values",
            leave_out=("request_id", "stale"),
            hashed=("airport",),
        )
        writer.hooks.server_stopped()
        table = self.read(tmp_path)
        assert not {"request_id", "stale"} & {*table.column_names}
        assert not {"a", "b"} & {*table["airport"].to_pylist()}
        assert len(set(table["airport"].to_pylist())) == 2
        features = [text for text in table["features"].to_pylist() if text is not None]
        assert len(features) == 2
        assert all('"temp":1.5' in text and '"season":"spring"' in text for text in features)

    def test_a_digest_of_the_features_tells_them_apart(self, tmp_path: Path) -> None:
        self.serve(tmp_path, ["a", "b", "a"], features="digest").hooks.server_stopped()
        texts = [text for text in self.read(tmp_path)["features"].to_pylist() if text is not None]
        assert sorted(map(texts.count, set(texts))) == [1, 2]

    def test_a_column_that_cannot_be_hashed_is_refused(self) -> None:
        options = self.make(hashed=("airprt",)).options
        assert isinstance(options, LedgerOptions)
        with pytest.raises(ConfigError, match=r"hashed: 'airprt' .* Did you mean 'airport'"):
            options.check(KEYS)
