"""``retrieval=file`` and ``retrieval=payload`` beyond the contract: windows, changed files, killed
writers, no store.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from framework_files.file import FileRetrieval
from framework_files.options import FileOptions
from framework_files.payload import PayloadRetrieval

from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, SHORT_HISTORY, TIME
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet
from framework.options import Options
from framework.retrieval.stored_panel import Columns, stored_panel

FEATURES = FeatureSet.model_validate(
    {"primary": "v", "views": {"v": {"entity": ["s"], "columns": ["y", "x"], "ttl": "1d"}}}
)


def rows(n: int = 10, series: str = "a", value: float = 0.0) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC")
    return pd.DataFrame(
        {"s": series, "event_timestamp": times, "y": np.arange(n) + value, "x": 1.0}
    )


def schema(length: int, nullable: tuple[str, ...] = ()) -> Schema:
    return Schema(
        name="n",
        entity_keys=("s",),
        frequency="D",
        targets=("y",),
        past=("y", "x"),
        nullable=nullable,
        known=(),
        static=("s",),
        horizon=2,
        context_length=length,
        quantiles=(),
    )


def store(tmp_path: Path) -> FileRetrieval:
    return FileRetrieval(FileOptions(state=tmp_path))


def test_windows_have_any_length(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", pd.concat([rows(10), rows(3, "b")]))
    context = asyncio.run(strategy.context(FEATURES, schema(5), [{"s": "b"}, {"s": "a"}], None))
    assert context.status == [SHORT_HISTORY, OK]
    assert context.past[1, :, 0].tolist() == [5.0, 6.0, 7.0, 8.0, 9.0]
    context = asyncio.run(
        strategy.context(FEATURES, schema(5), [{"s": "a"}], datetime(2024, 1, 6, tzinfo=UTC))
    )
    assert context.past[0, :, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_step_that_was_never_stored_is_not_made_up(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", rows(10).drop(index=7))
    context = asyncio.run(strategy.context(FEATURES, schema(5), [{"s": "a"}], None))
    assert context.status == [MISSING_FEATURE]
    assert "'y' is null at 1 of 5 steps" in str(context.detail[0])
    assert asyncio.run(strategy.context(FEATURES, schema(2), [{"s": "a"}], None)).status == [OK]


def test_serving_notices_new_rows(tmp_path: Path) -> None:
    server, writer = store(tmp_path), store(tmp_path)
    writer.ingest(FEATURES, "v", rows(3))
    first = asyncio.run(server.context(FEATURES, schema(1), [{"s": "a"}], None))
    writer.ingest(FEATURES, "v", rows(3, value=50.0))
    second = asyncio.run(server.context(FEATURES, schema(1), [{"s": "a"}], None))
    assert (first.past[0, 0, 0], second.past[0, 0, 0]) == (2.0, 52.0)


def test_another_definition_of_a_view_has_rows_of_its_own(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", rows(3))
    lag = {"op": "lag", "columns": ["y"], "steps": [1]}
    view = {"entity": ["s"], "columns": ["y"], "ttl": "1d", "engineer": [lag]}
    changed = FeatureSet.model_validate({"primary": "v", "views": {"v": view}})
    assert not strategy.has_rows(changed)
    assert strategy.has_rows(FEATURES)
    with pytest.raises(DataError, match=r"view 'v' has no rows .* run=ingest"):
        strategy.training_rows(changed, ["y"])


def test_a_killed_writer_leaves_the_old_rows(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", rows(3))
    before = strategy.training_rows(FEATURES, ["y", "x"])
    code = (
        "import os, pyarrow.parquet as pq, sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_file_store as t\n"
        "write = pq.write_table\n"
        "def slow(table, stream, **kw): write(table, stream, **kw); stream.flush(); "
        "print('written', flush=True); time.sleep(60)\n"
        "pq.write_table = slow\n"
        f"t.store(Path({str(tmp_path)!r})).ingest(t.FEATURES, 'v', t.rows(3, value=9.0))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    pd.testing.assert_frame_equal(strategy.training_rows(FEATURES, ["y", "x"]), before)
    assert list(tmp_path.glob("*.tmp"))
    strategy.ingest(FEATURES, "v", rows(4))
    assert not list(tmp_path.glob("*.tmp"))
    assert len(strategy.training_rows(FEATURES, ["y"])) == 4


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_file_store as t\n"
        f"for i in range(5): t.store(Path({str(tmp_path)!r})).ingest(t.FEATURES, 'v', "
        f"t.rows(4, f'{{sys.argv[1]}}{{i}}'))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "pq"]
    assert [p.wait(60) for p in processes] == [0, 0]
    assert len(store(tmp_path).training_rows(FEATURES, ["y"])) == 2 * 5 * 4


def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    for bad, words in (
        (rows().drop(columns="x"), r"view 'v': missing columns \['x'\]"),
        (rows().assign(s=None), r"null in \['s'\]"),
        (rows().assign(x="many"), "column 'x' is not numeric"),
    ):
        with pytest.raises(DataError, match=words):
            strategy.ingest(FEATURES, "v", bad)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", rows())
    next(tmp_path.glob("*.parquet")).write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"view 'v': .*\.parquet cannot be read"):
        strategy.training_rows(FEATURES, ["y"])


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", rows())
    with pytest.raises(DataError, match=r"\['yy'\] are in no view; Did you mean 'y'"):
        strategy.training_rows(FEATURES, ["yy"])


def test_a_large_store_answers_from_memory(tmp_path: Path) -> None:
    strategy = store(tmp_path)
    strategy.ingest(FEATURES, "v", pd.concat([rows(100, f"s{i:03}") for i in range(200)]))
    asked = [{"s": "s123"}]
    asyncio.run(strategy.context(FEATURES, schema(1), asked, None))
    started = time.perf_counter()
    for _ in range(20):
        asyncio.run(strategy.context(FEATURES, schema(1), asked, None))
    assert time.perf_counter() - started < 2


def test_payload_keeps_nothing() -> None:
    strategy = PayloadRetrieval(Options())
    assert not strategy.has_rows(FEATURES)
    assert strategy.materialize(FEATURES, None, None, print) == {}
    with pytest.raises(ConfigError, match="retrieval=payload keeps no rows"):
        strategy.ingest(FEATURES, "v", rows())
    with pytest.raises(ConfigError, match="retrieval=payload has no rows to train on"):
        strategy.training_rows(FEATURES, ["y"])
    with pytest.raises(DataError, match="POST /predict"):
        asyncio.run(strategy.context(FEATURES, schema(1), [{"s": "a"}], None))


def test_a_panel_of_an_earlier_moment_has_the_plan_and_the_actuals_that_were_known_then(
    tmp_path: Path,
) -> None:
    features = FeatureSet.model_validate(
        {
            "primary": "sales",
            "views": {
                "sales": {"entity": ["shop"], "columns": ["y"], "ttl": "1d", "created": "seen"},
                "plan": {"entity": ["shop"], "columns": ["promo"], "ttl": "1d", "created": "seen"},
            },
        }
    )
    day = [pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(days=d) for d in range(12)]
    sales = [("a", day[d], None, day[0]) for d in range(10)] + [
        ("a", day[d], d, day[d + 1]) for d in range(10)
    ]
    plan = [("a", day[d], 1.0, day[0]) for d in range(12)] + [
        ("a", day[6], 7.0, day[8])
    ]  # day 6 is changed on day 8
    strategy = FileRetrieval(FileOptions(state=tmp_path))
    for name, rows, column in (("sales", sales, "y"), ("plan", plan, "promo")):
        strategy.ingest(features, name, pd.DataFrame(rows, columns=["shop", TIME, column, "seen"]))
    columns = Columns(("y",), ("y",), ("promo",), (), Frequency.parse("D"), 2)

    then = stored_panel(strategy, features, columns, "refuse", day[6].to_pydatetime())
    assert then.times[-1] == np.datetime64(
        "2024-01-06"
    )  # the actual of day 5 was seen at the start of day 6
    assert then.ahead is not None
    assert then.ahead[0, :, 0].tolist() == [1.0, 1.0]
    now = stored_panel(strategy, features, columns, "refuse")
    assert now.times[-1] == np.datetime64("2024-01-10")
    assert now.known[6, 0] == 7.0
