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
from framework.testing.contracts.findings import refusal

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
        assert writer is not None, "writer(...) gives None though ledger.share is 100."
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

    def expect_counts(self, state: Path, counts: LedgerCounts, doing: str) -> None:
        """Check how much a ledger says that it lacks.

        Args:
            state: The folder for what a server keeps.
            counts: What it is to say.
            doing: What was done, as the subject of a sentence.

        Raises:
            AssertionError: It says something else.
        """
        actual = self.make().counts("fake", state)
        assert actual == counts, (
            f"{doing} is counted as {actual}, not {counts}: forecasts that a server made and "
            "nobody can read again are missing, whatever became of its process; those of a live "
            "one that are not written yet wait."
        )

    def test_what_was_served_is_read_again_bit_for_bit(self, tmp_path: Path) -> None:
        names = ["JFK", "nowhere", 'a "b", c\nd', "", "Zürich"]
        self.serve(tmp_path, names).hooks.server_stopped()
        table = self.read(tmp_path)
        assert len(table) == 4 * 3 * 2 + 2, (
            f"four entities with a forecast and one without are read as {len(table)} rows, not "
            f"{4 * 3 * 2 + 2}: one for each step and target, and of an entity without a forecast "
            "one for each target."
        )
        airports = sorted(set(table["airport"].to_pylist()))
        assert airports == sorted(names), f"the entities {names} are read again as {airports}."
        rows = table.to_pylist()
        one = [row for row in rows if row["airport"] == "JFK"]
        for column, target, expected in (
            ("mean", "departures", [0.0, 6 / 7, 12 / 7]),
            ("q0.9", "delay", [5 / 7, 11 / 7, 17 / 7]),
        ):
            actual = [row[column] for row in one if row["target"] == target]
            assert actual == expected, (
                f"{column} of {target} is read again as {actual}, not {expected}: numbers are kept "
                "as float64, in the target's own unit."
            )
        day = {row["step"]: str(row[TIME])[:10] for row in one}[3]
        assert day == "2024-05-04", f"the third step after 2024-05-01 is read again as {day}."
        for name in ("at", "origin", TIME):
            kind = table.schema.field(name).type
            assert kind == pa.timestamp("us", tz="UTC"), f"'{name}' is {kind}, not a time in UTC."
        row = one[0]
        expected_values = {
            "arm": "production",
            "version": 3,
            "digest": "d" * 64,
            "request_id": "id-1",
            "shadow": False,
            "stale": None,
        }
        values = {name: row[name] for name in expected_values}
        assert values == expected_values, f"what tells who answered is {values}."
        unknown_rows = [row for row in rows if row["airport"] == "nowhere"]
        answers = {(row["status"], row["mean"]) for row in unknown_rows}
        assert answers == {(UNKNOWN_ENTITY, None)}, (
            f"an entity without a forecast is read again as {answers} of (status, mean)."
        )

    def test_wanted_columns_and_newer_rows_alone_are_read(self, tmp_path: Path) -> None:
        now = datetime.now(UTC)
        self.serve(tmp_path, ["old"], at=now - timedelta(days=2)).hooks.server_stopped()
        self.serve(tmp_path, ["new"], at=now, quantiles=(0.5,)).hooks.server_stopped()
        table = self.read(tmp_path, ["at", "airport", "q*", "nothing"])
        columns = sorted(table.column_names)
        assert columns == ["airport", "at", "q0.1", "q0.5", "q0.9"], (
            f"of the columns at, airport, q* and nothing, {columns} are read; 'q*' means all that "
            "begin with q, and one that is not there is left out."
        )
        assert len(table) == 12, f"two servers with other quantiles are read as {len(table)} rows."
        recent = self.read(tmp_path, ["airport", "at"], since=now - timedelta(hours=1))
        airports = set(recent["airport"].to_pylist())
        assert airports == {"new"}, (
            f"the forecasts of the last hour are those of {airports}, not of 'new' alone."
        )

    def test_a_ledger_that_nobody_wrote_is_empty(self, tmp_path: Path) -> None:
        pieces = list(self.make().read("nobody", tmp_path, ["*"], None))
        assert sum(map(len, pieces)) == 0, "a ledger that nobody wrote has rows."
        counts = self.make().counts("nobody", tmp_path)
        assert counts == LedgerCounts(0, 0), f"a ledger that nobody wrote lacks {counts}."

    def test_every_forecast_is_counted(self, tmp_path: Path) -> None:
        outcomes: list[tuple[str, int]] = []
        writer = self.serve(
            tmp_path, ["a", "b"], count=lambda outcome, n: outcomes.append((outcome, n))
        )
        self.expect_counts(tmp_path, LedgerCounts(0, 2), "an answer that is not written yet")
        writer.offered(5)
        writer.hooks.forecasts_dropped(5)
        writer.hooks.server_stopped()
        doing = "a server that stopped, after five forecasts were too many for its queue,"
        self.expect_counts(tmp_path, LedgerCounts(5, 0), doing)
        assert sorted(outcomes) == [("dropped", 5), ("written", 2)], (
            f"the metrics of a server are told {outcomes}, not 2 written and 5 dropped."
        )

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
            self.expect_counts(tmp_path, LedgerCounts(8, 0), "what two killed servers lost")
        rows = len(self.read(tmp_path))
        assert rows == 2 * 3 * 6, (
            f"what two servers had written before they were killed is read as {rows} rows, not 36."
        )

    def test_nothing_is_written_with_a_share_of_zero(self, tmp_path: Path) -> None:
        writer = self.make(share=0).writer("fake", tmp_path, no_count)
        assert writer is None, f"ledger.share=0 opens {writer!r}; nothing is to be kept."

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
        present = {"request_id", "stale"} & {*table.column_names}
        assert not present, f"ledger.leave_out is ignored: {sorted(present)} can be read again."
        airports = {*table["airport"].to_pylist()}
        assert not {"a", "b"} & airports, (
            f"ledger.hashed=[airport] keeps the names {sorted(airports)} that were to be hidden."
        )
        assert len(airports) == 2, f"two hashed entities are read again as {len(airports)}."
        features = [text for text in table["features"].to_pylist() if text is not None]
        assert len(features) == 2, (
            f"ledger.features=values keeps the features of {len(features)} rows; of each of two "
            "entities the first row has them."
        )
        for text in features:
            assert '"temp":1.5' in text, f"the features are kept as {text}, without temp 1.5."
            assert '"season":"spring"' in text, f"the features are kept as {text}, without season."

    def test_a_digest_of_the_features_tells_them_apart(self, tmp_path: Path) -> None:
        self.serve(tmp_path, ["a", "b", "a"], features="digest").hooks.server_stopped()
        texts = [text for text in self.read(tmp_path)["features"].to_pylist() if text is not None]
        counts = sorted(map(texts.count, set(texts)))
        assert counts == [1, 2], (
            f"three entities of which two have equal features are kept with {len(set(texts))} "
            f"different digests, as often as {counts}."
        )

    def test_a_column_that_cannot_be_hashed_is_refused(self) -> None:
        options = self.make(hashed=("airprt",)).options
        assert isinstance(options, LedgerOptions), (
            f"the options are {type(options).__name__}, no subclass of "
            "framework.interfaces.ledger.LedgerOptions, so the keys that all ledgers have are lost."
        )
        refusal(
            lambda: options.check(KEYS),
            ConfigError,
            "ledger.hashed with a name that is no entity key",
            "airprt",
            "airport",
        )
