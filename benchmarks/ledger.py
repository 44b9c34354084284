"""What the forecast ledger costs a server, what a killed server loses, and how long a report takes.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --rows 1000000 --kills 3 --seconds 5

- ``join_s``, ``join_mb``: seconds and peak memory of a process that reads ``--rows`` ledger rows,
  joins them with the actuals and makes the report of ``run=monitor``.
- ``kills``, ``wrong``: servers that were killed (SIGKILL) after a random time, and those whose
  reported loss was not the real one: forecasts that were answered less those in the ledger.
- ``p95_ratio``: the 95th percentile of the latency of one-row requests with the ledger, beside that
  without, at ``--rate`` requests a second for ``--seconds``. The two servers take turns, so that a
  busy machine disturbs both.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.vocabulary import OK, TIME
from framework.interfaces.ledger import FilesLedgerOptions
from framework.monitoring.ledger_files import FilesLedger
from framework.monitoring.ledger_segments import Segment, folder_of
from framework.monitoring.promised import Promise
from framework.monitoring.report import pair_report
from framework.monitoring.served import Served, read_served, with_actuals
from framework.monitoring.watching import Watched
from framework.testing import fakes
from framework.testing.servers.fake_server import make_row, server_process

LEDGER = FilesLedger(FilesLedgerOptions())
HORIZON, SERIES, SEGMENT = 10, 1000, 100_000
DAY = np.timedelta64(1, "D")
START = np.datetime64("2024-01-01", "us")


def write_ledger(state: Path, rows: int) -> int:
    """Forecasts of :data:`SERIES` series a day, :data:`HORIZON` steps each; the number of days."""
    folder = folder_of(state, "fake") / "2024-01-01"
    folder.mkdir(parents=True)
    days, per_day = rows // (SERIES * HORIZON), SERIES * HORIZON
    rng = np.random.default_rng(0)
    names = np.array([f"s{i}" for i in range(SERIES)])
    for first in range(0, days, SEGMENT // per_day):
        some = np.arange(first, min(first + SEGMENT // per_day, days))
        n = len(some) * per_day
        origin = np.repeat(START + some * DAY, per_day)
        step = np.tile(np.arange(1, HORIZON + 1), n // HORIZON)
        mean = rng.standard_normal(n) * 0.1
        columns = {
            "at": pa.array(origin, pa.timestamp("us", tz="UTC")),
            "arm": pa.array(np.repeat("production", n)),
            "version": pa.array(np.ones(n, dtype=np.int64)),
            "digest": pa.array(np.repeat("d", n)),
            "key": pa.array(np.tile(np.repeat(names, HORIZON), len(some))),
            "origin": pa.array(origin, pa.timestamp("us", tz="UTC")),
            TIME: pa.array(origin + step * DAY, pa.timestamp("us", tz="UTC")),
            "step": pa.array(step),
            "target": pa.array(np.repeat("y", n)),
            "mean": pa.array(mean),
            "q0.1": pa.array(mean - 1.28),
            "q0.9": pa.array(mean + 1.28),
            "status": pa.array(np.repeat(OK, n)),
        }
        name = Segment.name("bench", first * SERIES, int(some[-1] + 1) * SERIES, 0)
        pq.write_table(pa.table(columns), folder / name, compression="zstd")
    return days


def make_panel(days: int) -> Panel:
    """Actual values of every series from the first day on."""
    steps = days + HORIZON + 1
    entities = np.array(sorted([f"s{i}"] for i in range(SERIES)), dtype=object)
    values = np.random.default_rng(1).standard_normal((SERIES * steps, 1))
    return Panel(
        entity_keys=("key",),
        entities=entities,
        offsets=np.arange(SERIES + 1) * steps,
        times=np.tile(START + np.arange(steps) * DAY, SERIES),
        past=values,
        past_names=("y",),
        static=np.empty((SERIES * steps, 0), dtype=object),
        static_names=(),
        known=np.empty((SERIES * steps, 0)),
        known_names=(),
        frequency=Frequency.parse("D"),
    )


def make_promise(panel: Panel) -> Promise:
    """A backtest of 20 origins."""
    changed = {"entity_keys": ("key",), "targets": ("y",), "horizon": HORIZON}
    schema = fakes.make_schema().model_copy(update={**changed, "quantiles": (0.1, 0.9)})
    n = 20 * SERIES * HORIZON
    origin = np.repeat(START + np.arange(20) * DAY, SERIES * HORIZON)
    step = np.tile(np.arange(1, HORIZON + 1), n // HORIZON)
    actual = np.random.default_rng(2).standard_normal(n)
    served = Served(
        panel.entities,
        np.tile(np.repeat(np.arange(SERIES), HORIZON), 20),
        origin,
        origin + step * DAY,
        step,
        np.zeros(n, dtype=np.int64),
        np.tile([0.0, -1.28, 1.28], (n, 1)),
        actual,
        np.roll(actual, 1),
    )
    return Promise(schema, served, np.ones(n), None)


def join(state: Path, days: int, results: multiprocessing.SimpleQueue) -> None:
    """Read, join, report, in a process of its own so that its memory is its own."""
    panel = make_panel(days)
    promise = make_promise(panel)
    how = Watched(Frequency.parse("D"), 7, 0.05, 0.1, 365, 0.01)
    began = time.perf_counter()
    reading = read_served(LEDGER, "fake", state, ("key",), ("y",), None)
    read = time.perf_counter() - began
    rows = reading.rows
    ((answering, served),) = reading.forecasts.items()
    reading.forecasts.clear()
    served = with_actuals(served, panel, 1)
    report = pair_report(answering, served, promise, panel, how, seed=1, series_count=10)
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put((rows, report["live"]["y"]["steps"], read, seconds, memory))


def killed(kills: int, directory: Path) -> int:
    """How many reports of what a killed server lost were wrong."""
    rng, wrong = np.random.default_rng(3), 0
    for number in range(kills):
        folder = directory / f"kill{number}"
        ledger = {"seconds": 1}
        answered = 0
        with server_process("fastapi", {"port": 0}, folder, ledger=ledger) as (process, url):
            until = time.monotonic() + rng.uniform(0.2, 2.5)
            with httpx.Client() as client:
                while time.monotonic() < until:
                    body = {"rows": [make_row()]}
                    answered += client.post(f"{url}/predict", json=body).status_code == 200
            process.kill()
            process.wait()
        kept = sum(
            len(set(table["request_id"].to_pylist()))
            for table in LEDGER.read("fake", folder / "state", ["request_id"], None)
        )
        missing = LEDGER.counts("fake", folder / "state").missing
        print(f"kill {number}: answered {answered}, kept {kept}, reported missing {missing}")
        wrong += missing != answered - kept
    return wrong


def latencies(directory: Path, rate: float, seconds: float) -> dict[str, float]:
    """The 95th percentile in milliseconds, without and with the ledger, by turns of a second."""
    kinds = {"without": {"share": 0}, "with": {"seconds": 1}}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    body = {"rows": [make_row()]}
    port = {"port": 0}
    with (
        server_process("fastapi", port, directory / "a", ledger=kinds["without"]) as (_, first),
        server_process("fastapi", port, directory / "b", ledger=kinds["with"]) as (_, second),
        httpx.Client() as client,
    ):
        for turn in range(2 * int(seconds) + 2):
            name, url = list(zip(kinds, (first, second), strict=True))[turn % 2]
            begin = time.perf_counter()
            for i in range(int(rate)):
                time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
                asked = time.perf_counter()
                client.post(f"{url}/predict", json=body).raise_for_status()
                if turn > 1:
                    times[name].append(time.perf_counter() - asked)
                if time.perf_counter() - begin > 1:
                    break
    return {name: 1000 * float(np.percentile(of_one, 95)) for name, of_one in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        days = write_ledger(directory / "state", options.rows)
        results: multiprocessing.SimpleQueue = multiprocessing.get_context("spawn").SimpleQueue()
        process = multiprocessing.get_context("spawn").Process(
            target=join, args=(directory / "state", days, results)
        )
        process.start()
        rows, steps, read, seconds, memory = results.get()
        process.join()
        print(f"{rows} rows, {steps} with actuals: read {read:.1f} s, all {seconds:.1f} s")
        print(f"peak memory {memory:.0f} MB")
        wrong = killed(options.kills, directory)
        p95 = latencies(directory, options.rate, options.seconds) if options.seconds else {}
    result = {
        "benchmark": "ledger",
        "rows": rows,
        "join_s": round(seconds, 1),
        "join_mb": round(memory),
        "kills": options.kills,
        "wrong": wrong,
        "p95_ms": {name: round(value, 2) for name, value in p95.items()},
        "p95_ratio": round(p95["with"] / p95["without"], 3) if p95 else None,
        "controls": {"without": round(p95["without"], 2) if p95 else None},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
