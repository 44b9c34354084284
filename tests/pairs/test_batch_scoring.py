"""Batch scoring: the same forecasts as one call, whatever the pieces; a killed run goes on; the
file is complete or not there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from framework.data.arrays import Float64
from framework.data.forecast_table import forecast_table
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.data.windows import Windows
from framework.errors import DataError
from framework.files import LockedError
from framework.models import progress
from framework.pairs import batch_scoring
from framework.pairs.batch_scoring import score
from framework.plugins.builtin import ProcessesOptions
from framework.plugins.compute import LocalCompute, ProcessesCompute
from framework.retrieval.rows_file import RowsFile
from framework.testing import fakes
from framework.testing.panels import write_rows

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import a test

LONG = fakes.make_schema(context_length=3)


def scored(
    pair: Any, path: Path, size: int, output: Path, said: list[str] | None = None, **identity: Any
) -> pd.DataFrame:
    say = [].append if said is None else said.append
    score(
        pair,
        RowsFile(path, pair.schema),
        size,
        output,
        {"pair": "p", **identity},
        LocalCompute(None),
        say,
    )
    assert sorted(p.name for p in output.parent.iterdir() if "forecast" in p.name) == [output.name]
    return pd.read_parquet(output)


@pytest.mark.parametrize("schema", [fakes.make_schema(), LONG], ids=["rows", "history"])
def test_pieces_of_any_size_give_what_one_call_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: Schema
) -> None:
    monkeypatch.setattr(batch_scoring, "_GROUP", 100)
    pair, _ = fakes.make_pair(schema)
    path = write_rows(
        tmp_path / "rows.parquet",
        schema,
        40,
        1 if schema.context_length == 1 else 5,
        row_group_size=17,
    )
    whole = RowsFile(path, schema)
    expected = forecast_table(
        pair.forecast(whole.context(whole.pieces(10**6)[0])), schema.entity_keys
    )
    assert len(expected) == 40 * 3 * 2
    output, files = tmp_path / "forecast.parquet", set[bytes]()
    for size in (1, 7, 33, 1000):
        pd.testing.assert_frame_equal(scored(pair, path, size, output), expected)
        files.add(output.read_bytes())
    assert len(files) == 1
    assert pq.read_metadata(output).num_row_groups == 3


def without_files(function: Any, shared: Any, item: Any) -> Any:
    """Call the function where nothing may be written, and nothing but modules be read."""
    opened: list[Any] = []

    def heard(event: str, arguments: Any) -> None:
        if (event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so"))) or (
            event in ("os.mkdir", "os.rename")
        ):
            opened.append(arguments)

    sys.addaudithook(heard)
    result = function(shared, item)
    assert opened == []
    return result


class WithoutFiles(ProcessesCompute):
    def stream(self, function: Any, shared: Any, items: Any) -> Any:
        return super().stream(partial(without_files, function), shared, items)


def test_a_worker_reads_and_writes_no_file(tmp_path: Path) -> None:
    """It may be on a machine that shares no folder with this one."""
    schema = fakes.make_schema()
    pair, _ = fakes.make_pair(schema)
    path = write_rows(tmp_path / "rows.parquet", schema, 40)
    contents = []
    for compute in (LocalCompute(None), WithoutFiles(ProcessesOptions(workers=2))):
        output = tmp_path / "forecast.parquet"
        score(pair, RowsFile(path, schema), 7, output, {}, compute, [].append)
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]


def test_a_model_that_takes_long_says_its_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model that fits when it is asked takes hours for a piece."""

    class Slow(fakes.FakeModel):
        def predict(self, windows: Windows) -> Float64:
            progress.tell(3, len(windows), "series")
            return super().predict(windows)

    monkeypatch.setattr(progress, "FIRST", 0)
    schema = fakes.make_schema()
    pair, _ = fakes.make_pair(schema)
    slow = Slow(pair.model.options)
    slow.shape(schema)
    path = write_rows(tmp_path / "rows.parquet", schema, 40)
    for size, lines in (
        (40, ["predict: series 3 of 40"]),
        (20, ["predict: 1 to 20: series 3 of 20", "predict: 21 to 40: series 3 of 20"]),
    ):
        scored(replace(pair, model=slow), path, size, tmp_path / "forecast.parquet")
        said = capfd.readouterr().err.splitlines()
        assert [line.partition(",")[0] for line in said] == lines


def test_ranges_may_be_read_in_any_order(tmp_path: Path) -> None:
    schema = fakes.make_schema()
    path = write_rows(tmp_path / "rows.parquet", schema, 90, row_group_size=20)
    file = RowsFile(path, schema)
    whole = RowsFile(path, schema).context((0, 90))
    for piece in ((60, 75), (0, 10), (10, 45), (30, 90), (89, 90)):
        assert np.array_equal(file.context(piece).past, whole.past[slice(*piece)])


def test_a_row_at_fault_has_its_status_and_the_others_their_forecast(tmp_path: Path) -> None:
    schema = fakes.make_schema()
    path = write_rows(tmp_path / "rows.parquet", schema, 6)
    rows = pd.read_parquet(path)
    rows.loc[2, "temp"], rows.loc[4, "delay"], rows.loc[5, "wind gust"] = None, np.inf, None
    rows.to_parquet(path, index=False)
    table = scored(fakes.make_pair(schema)[0], path, 4, tmp_path / "forecast.parquet")
    statuses = table.drop_duplicates("airport").set_index("airport")["status"].tolist()
    assert statuses == ["ok", "ok", "missing_feature", "ok", "error", "ok"]
    assert table.loc[table["status"] != "ok", "mean"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="temp"), r"missing \['temp'\]"),
        (lambda rows: rows.assign(tmep=1), r"unknown \['tmep'\]"),
        (lambda rows: rows.assign(temp="hot"), "column temp is not numeric"),
        (lambda rows: rows.assign(**{TIME: "soon"}), f"column {TIME} is not a time"),
        (
            lambda rows: rows.assign(airport=[None, *rows["airport"][1:]]),
            "row 0, column airport: null",
        ),
        (lambda rows: rows[:0], "has no rows"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(tmp_path: Path, change: Any, message: str) -> None:
    schema = fakes.make_schema()
    path = write_rows(tmp_path / "rows.parquet", schema, 5)
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(DataError, match=message):
        scored(fakes.make_pair(schema)[0], path, 2, tmp_path / "forecast.parquet")
    assert not (tmp_path / "forecast.parquet").exists()


def test_scattered_rows_of_an_entity_and_gaps_are_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.parquet", LONG, 3, 4)
    rows = pd.read_parquet(path)
    for wrong, message in (
        (pd.concat([rows, rows[:2]]), "do not follow each other"),
        (rows.drop(index=6), rf"row 6, column {TIME}: gap"),
    ):
        wrong.to_parquet(path, index=False)
        with pytest.raises(DataError, match=message):
            scored(fakes.make_pair(LONG)[0], path, 4, tmp_path / "forecast.parquet")


KILLED = """
import sys, time
from pathlib import Path
from framework.plugins.compute import LocalCompute
from framework.files import LockedError
from framework.models import progress
from framework.retrieval.rows_file import RowsFile
from framework.pairs.batch_scoring import score
from framework.testing import fakes
from framework.testing.panels import write_rows

class Slow(LocalCompute):
    def map(self, function, shared, items):
        for item in items:
            yield function(shared, item)
            time.sleep(0.05)

pair, _ = fakes.make_pair()
score(pair, RowsFile(Path(sys.argv[1]), pair.schema), 10, Path(sys.argv[2]), {"pair": "p"}, Slow(None), print)
"""  # noqa: E501


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path, output = (
        write_rows(tmp_path / "rows.parquet", fakes.make_schema(), 600),
        tmp_path / "forecast.parquet",
    )
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(output)])
    parts = tmp_path / "forecast.parquet.parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.parquet"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    kept = {part: part.stat().st_mtime_ns for part in parts.glob("*.parquet")}
    assert 3 <= len(kept) < 60
    pair, _ = fakes.make_pair()
    said: list[str] = []
    table = scored(pair, path, 10, output, said)
    assert said[0] == f"predict: goes on after {len(kept)} of 60 pieces that an earlier run scored"
    whole = RowsFile(path, pair.schema).context((0, 600))
    pd.testing.assert_frame_equal(
        table, forecast_table(pair.forecast(whole), pair.schema.entity_keys)
    )


def test_pieces_of_another_pair_are_not_taken(tmp_path: Path) -> None:
    path, output = (
        write_rows(tmp_path / "rows.parquet", fakes.make_schema(), 30),
        tmp_path / "forecast.parquet",
    )

    class Broken(LocalCompute):
        def map(self, function: Any, shared: Any, items: Any) -> Any:
            yield function(shared, next(items))
            raise DataError("the machine is gone")

    old = fakes.make_pair()[0]
    with pytest.raises(DataError, match="the machine is gone"):
        score(old, RowsFile(path, old.schema), 10, output, {"pair": "p"}, Broken(None), [].append)
    said: list[str] = []
    new = fakes.make_pair(shift=1.0)[0]
    table = scored(new, path, 10, output, said, other="pair")
    assert said == []
    pd.testing.assert_frame_equal(
        table,
        forecast_table(
            new.forecast(RowsFile(path, new.schema).context((0, 30))), new.schema.entity_keys
        ),
    )


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    path, output = (
        write_rows(tmp_path / "rows.parquet", fakes.make_schema(), 30),
        tmp_path / "forecast.parquet",
    )
    pair = fakes.make_pair()[0]

    class Second(LocalCompute):
        def map(self, function: Any, shared: Any, items: Any) -> Any:
            with pytest.raises(
                LockedError, match=r"the writing of .*forecast.parquet is held by process \d+ \("
            ):
                score(
                    pair,
                    RowsFile(path, pair.schema),
                    10,
                    output,
                    {"pair": "p"},
                    LocalCompute(None),
                    [].append,
                )
            return super().map(function, shared, items)

    score(pair, RowsFile(path, pair.schema), 10, output, {"pair": "p"}, Second(None), [].append)
    assert pq.read_metadata(output).num_rows == 180
