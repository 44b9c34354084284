"""Rows per second of batch scoring beside the bare booster, on the same Parquet of rows and the
same pair, alternating.

ours      framework.pairs.batch_scoring: reads, checks, transforms, forecasts, notes each piece,
joins them to one file bare      reads the same file by chunks, numpy transform, inplace_predict of
every booster, writes the same columns; nothing is checked

    python benchmarks/batch_scoring.py [--rows 1000000] [--rounds 3]

The pair is that of serving_pair.py: 25 columns, 2 targets, 7 steps, 2 quantiles, 100 rounds, one
thread. Each side is a process of its own, which also says the memory it grew by, and its peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from bare import PAST, TARGETS, VERSION
from serving_pair import train

from framework.data.vocabulary import TIME
from framework.interfaces.registry import ProvenPair
from framework.pairs.batch_scoring import score
from framework.pairs.loading import open_proven
from framework.pairs.pair import Pair
from framework.plugins.compute import LocalCompute
from framework.plugins.discovery import load_plugins
from framework.retrieval.rows_file import RowsFile

CHUNK = 20_000


def write_rows(path: Path, rows: int) -> None:
    rng, writer = np.random.default_rng(7), None
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        columns = {
            "airport": rng.choice(["A0", "A1"], n),
            "carrier": rng.choice([f"C{i}" for i in range(10)], n),
        }
        columns[TIME] = np.datetime64("2013-05-01", "us") + rng.integers(0, 90, n) * np.timedelta64(
            1, "D"
        )
        table = pa.table({**columns, **{name: rng.normal(20, 5, n) for name in PAST}})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def open_pair(work: Path) -> Pair:
    return open_proven(
        ProvenPair(VERSION, work / "preprocessor", work / "model", ""), load_plugins()
    ).pair


def ours(work: Path, output: Path) -> None:
    pair = open_pair(work)
    score(
        pair,
        RowsFile(work / "rows.parquet", pair.schema),
        CHUNK,
        output,
        {},
        LocalCompute(None),
        lambda _: None,
    )


def bare(work: Path, output: Path) -> None:
    import xgboost

    transform = open_pair(work).preprocessor
    boosters = []
    for t in range(len(TARGETS)):
        for kind in ("mean", "quantiles"):
            boosters.append(
                xgboost.Booster(
                    {"nthread": 1}, model_file=str(work / "model" / "state" / f"{kind}_{t}.ubj")
                )
            )
    steps, writer = np.arange(1, 8), None
    for batch in pq.ParquetFile(work / "rows.parquet").iter_batches(CHUNK):
        n = len(batch)
        origins = batch.column(TIME).to_numpy(zero_copy_only=False).astype("M8[us]")
        times = origins[:, None] + steps * np.timedelta64(86_400_000_000, "us")
        past = transform.past(np.stack([batch.column(c).to_numpy() for c in PAST], axis=1), origins)
        static = transform.static(
            np.array([batch.column(c).to_pylist() for c in ("airport", "carrier")], dtype=object).T
        )
        future = transform.future(np.empty((7 * n, 0)), times.ravel())
        shown = np.repeat(np.concatenate([past, static], axis=1), 7, axis=0)
        matrix = np.concatenate([shown, future, np.tile(steps, n)[:, None]], axis=1).astype(
            np.float32
        )
        values = []
        for t in range(len(TARGETS)):
            mean, quantiles = (
                booster.inplace_predict(matrix) for booster in boosters[2 * t : 2 * t + 2]
            )
            values.append(np.concatenate([mean[:, None], np.sort(quantiles, axis=1)], axis=1))
        flat = np.stack(values, axis=1).reshape(-1, 3).astype(np.float64)
        each = np.repeat(np.arange(n, dtype=np.int32), 14)
        columns = {
            k: pa.DictionaryArray.from_arrays(each, batch.column(k)).cast(pa.string())
            for k in ("airport", "carrier")
        }
        columns |= {
            "origin": origins[each],
            "event_timestamp": np.repeat(times.ravel(), 2),
            "step": np.tile(np.repeat(steps, 2), n),
        }
        columns["target"] = pa.DictionaryArray.from_arrays(
            np.tile(np.arange(2, dtype=np.int32), 7 * n), list(TARGETS)
        ).cast(pa.string())
        columns |= {name: flat[:, i] for i, name in enumerate(("mean", "q0.1", "q0.9"))}
        columns["status"] = pa.array(["ok"]).take(pa.array(np.zeros(14 * n, dtype=np.int32)))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(output, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def measure(side: str, work: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, str(work)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_side(side: str, work: Path) -> None:
    output = work / f"{side}.parquet"
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    (ours if side == "ours" else bare)(work, output)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started,
                "megabytes": (peak - before) / 1024,
                "peak": peak / 1024,
            }
        )
    )


def check_equal(work: Path) -> None:
    frames = [
        pd.read_parquet(work / f"{side}.parquet", columns=["mean", "q0.1", "q0.9"])
        for side in ("ours", "bare")
    ]
    difference = float((frames[0] - frames[1]).abs().max().max())
    if difference > 1e-4:
        sys.exit(f"the two sides differ by {difference}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side[0], Path(arguments.side[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        train(work)
        write_rows(work / "rows.parquet", arguments.rows)
        results: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
        for number in range(arguments.rounds):
            for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
                results[side].append(measure(side, work))
                print(side, results[side][-1], file=sys.stderr, flush=True)
        check_equal(work)
    print(f"{'side':<8}{'rows/s':>12}{'seconds':>10}{'MB grown':>10}{'MB peak':>10}")
    for side, rounds in results.items():
        seconds = statistics.median(r["seconds"] for r in rounds)
        grown, peak = (max(r[key] for r in rounds) for key in ("megabytes", "peak"))
        print(
            f"{side:<8}{arguments.rows / seconds:>12,.0f}{seconds:>10.1f}{grown:>10.0f}{peak:>10.0f}"  # noqa: E501
        )
    ratio = statistics.median(
        b["seconds"] / o["seconds"] for o, b in zip(results["ours"], results["bare"], strict=True)
    )
    print(
        f"batch scoring of {arguments.rows:,} rows: ours is {ratio:.2f} x the bare booster "
        "with reading and writing"
    )


if __name__ == "__main__":
    main()
