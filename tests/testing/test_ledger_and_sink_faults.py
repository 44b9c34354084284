"""The contract suites of ledgers and alert sinks name what is wrong with each of some faulty
ones, made of those of the core, which they let pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from framework.data.vocabulary import OK
from framework.errors import FrameworkError
from framework.interfaces.alert_sink import Alert, AlertSink
from framework.interfaces.ledger import FilesLedgerOptions, LedgerCounts, LedgerWriter
from framework.monitoring.ledger_files import FilesLedger
from framework.options import Options, validate
from framework.testing.contracts.alert_sink import SECRET, AlertSinkContract, Receiver
from framework.testing.contracts.ledger import LedgerContract
from framework.testing.failing import failing_checks


class Changes(FilesLedger):
    """Changes what is read; each of the following its own way."""

    def read(
        self, name: str, state: Path, columns: Sequence[str], since: datetime | None
    ) -> Iterator[pa.Table]:
        for table in super().read(name, state, columns, since):
            yield self.changed(table)

    def changed(self, table: pa.Table) -> pa.Table:
        return table


def cast(table: pa.Table, column: str, kind: pa.DataType) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(place, column, table[column].cast(kind))


class RoundsNumbers(Changes):
    def changed(self, table: pa.Table) -> pa.Table:
        return cast(cast(table, "mean", pa.float32()), "mean", pa.float64())


class LosesTheTimeZone(Changes):
    def changed(self, table: pa.Table) -> pa.Table:
        return cast(table, "origin", pa.timestamp("us"))


class KeepsForecastsAlone(Changes):
    def changed(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.equal(table["status"], OK))


class ReadsAllColumns(FilesLedger):
    def read(self, name: str, state: Path, *_: Any) -> Iterator[pa.Table]:
        return super().read(name, state, ["*"], None)


class CountsNothing(FilesLedger):
    def counts(self, name: str, state: Path) -> LedgerCounts:
        return LedgerCounts(0, 0)


class WritesAShareOfZero(FilesLedger):
    def writer(self, name: str, state: Path, count: Any) -> LedgerWriter | None:
        self.options = self.options.model_copy(update={"share": 100.0})
        return super().writer(name, state, count)


class HidesNothing(FilesLedger):
    def writer(self, name: str, state: Path, count: Any) -> LedgerWriter | None:
        self.options = self.options.model_copy(update={"hashed": (), "leave_out": ()})
        return super().writer(name, state, count)


class OneDigestForAll(Changes):
    def changed(self, table: pa.Table) -> pa.Table:
        if "features" not in table.column_names:
            return table
        texts = [text and "same" for text in table["features"].to_pylist()]
        place = table.column_names.index("features")
        return table.set_column(place, "features", pa.array(texts, pa.string()))


class TakesOtherOptions(FilesLedger):
    def __init__(self, options: Any) -> None:
        super().__init__(Options())


AGAIN = "test_what_was_served_is_read_again_bit_for_bit"
WANTED = "test_wanted_columns_and_newer_rows_alone_are_read"
COUNTED = "test_every_forecast_is_counted"
KILLED = "test_what_a_killed_process_lost_is_counted"
HIDDEN = "test_columns_are_left_out_hashed_or_have_the_features"
DIGEST = "test_a_digest_of_the_features_tells_them_apart"
ZERO = "test_nothing_is_written_with_a_share_of_zero"
HASHED = "test_a_column_that_cannot_be_hashed_is_refused"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (RoundsNumbers, {AGAIN}, "numbers are kept as float64"),
        (LosesTheTimeZone, {AGAIN}, "'origin' is timestamp[us], not a time in UTC"),
        (KeepsForecastsAlone, {AGAIN}, "four entities with a forecast and one without"),
        (ReadsAllColumns, {WANTED}, "one that is not there is left out"),
        (CountsNothing, {COUNTED, KILLED}, "whatever became of its process"),
        (WritesAShareOfZero, {ZERO}, "nothing is to be kept"),
        (HidesNothing, {HIDDEN}, "ledger.leave_out is ignored"),
        (OneDigestForAll, {DIGEST}, "1 different digests"),
        (TakesOtherOptions, {HASHED}, "no subclass of framework.interfaces.ledger"),
    ],
)
def test_a_fault_of_a_ledger_is_named(
    kind: type[FilesLedger], checks: set[str], words: str, tmp_path: Path
) -> None:
    class Suite(LedgerContract):
        name = "files"

        def make(self, **changed: Any) -> Any:
            return kind(validate(FilesLedgerOptions, changed, "ledger"))

    expect(failing_checks(Suite(), tmp_path, only=checks), checks, words)


def expect(failures: dict[str, str], checks: set[str], words: str) -> None:
    assert set(failures) == checks, failures
    assert any(words in message for message in failures.values()) or not words, failures


class Board(AlertSink):
    """Hangs alerts on a board, which may be full."""

    board: list[str] = []  # noqa: RUF012  one for all instances
    full = False

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        if self.full:
            raise self.refusal()
        self.board.append("\n".join([name, *(self.text(alert) for alert in alerts)]))

    def text(self, alert: Alert) -> str:
        return f"{alert.line} {alert.labels}"

    def refusal(self) -> Exception:
        return FrameworkError("the board is full; take something down.")


class SendsTheFirst(Board):
    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        super().send(name, alerts[:1])


class ForgetsTheSeverity(Board):
    def text(self, alert: Alert) -> str:
        return f"{alert.state} {alert.name}: {alert.annotations['summary']}"


class NeverOver(Board):
    def text(self, alert: Alert) -> str:
        return f"firing {alert.name}: {alert.annotations['summary']} {alert.labels}"


class SilentWhenFull(Board):
    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        if not self.full:
            super().send(name, alerts)


class TellsTheSecret(Board):
    def refusal(self) -> Exception:
        return FrameworkError(f"the board {SECRET} is full.")


class RaisesWhatTheLibraryRaises(Board):
    def refusal(self) -> Exception:
        return ConnectionError("connection reset")


class ErrorOfTwoLines(Board):
    def refusal(self) -> Exception:
        return FrameworkError("the board is full\ntake something down")


class HoldsAConnection(Board):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.session = object()


GROUP = "test_alerts_of_a_run_come_as_one_group"
OVER = "test_one_that_is_over_looks_another_than_one_that_fires"
TAKEN = "test_what_is_not_taken_is_an_error_without_a_secret"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (Board, set(), ""),
        (SendsTheFirst, {GROUP}, "arrive without 'worse'"),
        (ForgetsTheSeverity, {GROUP}, "arrive without 'page'"),
        (NeverOver, {OVER}, "without the word 'resolved'"),
        (SilentWhenFull, {TAKEN}, "an alert that is lost in silence"),
        (TellsTheSecret, {TAKEN}, "shows the secret"),
        (RaisesWhatTheLibraryRaises, {TAKEN}, "raises ConnectionError"),
        (ErrorOfTwoLines, {TAKEN}, "in several lines"),
        (HoldsAConnection, {"test_the_constructor_only_stores_the_options"}, "sets session"),
    ],
)
def test_a_fault_of_an_alert_sink_is_named(
    kind: type[Board], checks: set[str], words: str, tmp_path: Path
) -> None:
    class Suite(AlertSinkContract):
        name = "log"

        def make(self, **changed: Any) -> Any:
            return kind(validate(Options, changed, "alert_sink"))

        def test_the_plugin_module_is_light(self) -> None:
            """It is this file."""

    def receiver(_: Path) -> Receiver:
        kind.board, kind.full = [], False
        return Receiver({}, lambda: kind.board, lambda: setattr(kind, "full", True))

    expect(failing_checks(Suite(), tmp_path, {"receiver": receiver}), checks, words)
