"""What the forecast ledger costs a server, what a killed server loses, and how long a report takes.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --rows 1000000 --kills 3 --seconds 5

- ``join_s``, ``join_cpu_s``, ``join_mb``: seconds, seconds of all processors, and peak memory of a
  process that reads ``--rows`` ledger rows, joins them with the actuals and makes the report of
  ``run=monitor``.
- ``kills``, ``wrong``: servers that were killed (SIGKILL) after a random time, and those whose
  reported loss was not the real one: forecasts that were answered less those in the ledger.
- ``p95_ratio``: the 95th percentile of the latency of requests of ``--batch`` rows with the ledger,
  beside that without, at ``--rate`` forecasts a second for ``--seconds`` each. The two servers take
  turns of ten seconds, in each of which the ledger is written once, so that a busy machine disturbs
  both. ``rate``: the forecasts a second that the
  slower of the two really got; ``halves``: the ratio of each half of the turns; ``cpu_us``: what a
  forecast costs each server in microseconds of all processors, the writing included.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.arrays import Float64
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
#: Seconds for which one server is asked, as long as a ledger waits until it is written.
TURN = 10
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


def join(state: Path, days: int, results: multiprocessing.SimpleQueue[dict[str, Any]]) -> None:
    """Read, join, report, and say what it took."""
    panel = make_panel(days)
    promise = make_promise(panel)
    how = Watched(Frequency.parse("D"), 7, 0.05, 0.1, 365, 0.01)
    began, worked = time.perf_counter(), time.process_time()
    reading = read_served(LEDGER, "fake", state, ("key",), ("y",), None)
    read = time.perf_counter() - began
    rows = reading.rows
    ((answering, served),) = reading.forecasts.items()
    reading.forecasts.clear()
    served = with_actuals(served, panel, 1)
    report = pair_report(answering, served, promise, panel, how, seed=1, series_count=10)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    steps, memory = report["live"]["y"]["steps"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{rows} rows, {steps} with actuals: read {read:.1f} s, all {seconds:.1f} s")
    figures = {"join_s": round(seconds, 1), "join_cpu_s": round(worked, 1)}
    results.put({"rows": rows, **figures, "join_mb": round(memory / 1024)})


def joined(directory: Path, rows: int) -> dict[str, Any]:
    """Write a ledger, and report of it in a process whose memory is its own."""
    days = write_ledger(directory / "state", rows)
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.SimpleQueue[dict[str, Any]] = context.SimpleQueue()
    process = context.Process(target=join, args=(directory / "state", days, results))
    process.start()
    figures = results.get()
    process.join()
    return figures


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


def latencies(directory: Path, rate: float, seconds: float, batch: int) -> dict[str, Any]:
    """Ask two servers, without and with the ledger, by turns."""
    kinds: dict[str, dict[str, Any]] = {"without": {"share": 0}, "with": {}}
    turns: dict[str, list[Float64]] = {name: [] for name in kinds}
    work: dict[str, float] = {}
    body = json.dumps({"rows": [make_row()] * batch})
    with ExitStack() as stack:
        connections, processes = [], []
        for name, ledger in kinds.items():
            server = server_process("fastapi", {"port": 0}, directory / name, ledger=ledger)
            process, url = stack.enter_context(server)
            place = urlsplit(url).netloc
            connections.append(stack.enter_context(closing(HTTPConnection(place))))
            processes.append(psutil.Process(process.pid))
        for turn in range(2 * max(round(seconds / TURN), 2) + 2):
            if turn == 2:  # the first ones warm up
                work = {name: worked(one) for name, one in zip(kinds, processes, strict=True)}
            times = one_turn(connections[turn % 2], body, rate / batch)
            if turn > 1:
                turns[[*kinds][turn % 2]].append(times)
        for name, one in zip(kinds, processes, strict=True):
            forecasts = batch * sum(map(len, turns[name]))
            work[name] = round(1e6 * (worked(one) - work[name]) / forecasts)
    return {**compare(turns, batch), "cpu_us": work}


def worked(process: psutil.Process) -> float:
    """Seconds that a process has used of all processors."""
    times = process.cpu_times()
    return float(times.user + times.system)


def one_turn(connection: HTTPConnection, body: str, rate: float) -> Float64:
    """Milliseconds of the requests of a turn, which are sent at even times."""
    connection.close()  # it waited longer than a server keeps it
    connection.connect()
    times, begin = [], time.perf_counter()
    for number in range(int(rate * TURN)):
        time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        start = time.perf_counter()
        if start - begin > TURN:
            break
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
        times.append(1000 * (time.perf_counter() - start))
    return np.array(times)


def compare(turns: dict[str, list[Float64]], batch: int) -> dict[str, Any]:
    """The 95th percentiles, their ratio over all turns and over each half of them."""
    p95 = {name: float(np.percentile(np.concatenate(of), 95)) for name, of in turns.items()}
    halves = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        ends = [np.percentile(np.concatenate(turns[name][half]), 95) for name in turns]
        halves.append(round(float(ends[1] / ends[0]), 3))
    rates = [batch * sum(map(len, of)) / len(of) / TURN for of in turns.values()]
    return {
        "p95_ms": {name: round(value, 2) for name, value in p95.items()},
        "p95_ratio": round(p95["with"] / p95["without"], 3),
        "halves": halves,
        "rate": round(min(rates)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--batch", type=int, default=1, help="rows of a request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        join_figures = joined(directory, options.rows) if options.rows else {}
        wrong = killed(options.kills, directory)
        arguments = (directory, options.rate, options.seconds, options.batch)
        measured = latencies(*arguments) if options.seconds else {}
    result = {
        "benchmark": "ledger",
        **join_figures,
        "kills": options.kills,
        "wrong": wrong,
        **measured,
        "controls": {"without": measured["p95_ms"]["without"] if measured else None},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
