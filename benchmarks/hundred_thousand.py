"""Very many series on a small machine: ingest, train with folds and forecast from Parquet, with the
peak memory and the seconds of each step.

    python benchmarks/hundred_thousand.py --series 10000 100000

Each size is a project of its own: a Parquet file of so many series of 365 days, lags and means
made at ingestion, XGBoost with the calendar of the days ahead, three folds, a pair, and a forecast
of every series. A fit learns from every ``--stride``-th origin, 7 rows each: 18 million rows at
100,000 series. The three runs are the commands that a person types: ``run=ingest``, ``run=train``
and ``run=predict``, each a process of its own. A step is the time between two lines that a run
says; its memory is the largest resident set that was seen in it, of the run and its children, and
the largest of its anonymous part: what is not, the pages of mapped files, the system takes out of
the memory when somebody needs that.

Prints one line for each step and, last, a JSON summary: seconds, peak memory, bytes of anonymous
memory a row, seconds a series, and the ratio of the seconds a series at the largest size to those
at the smallest. It ends with 1 where a size exceeds ``--gigabytes`` or ``--minutes``; a run that
goes on beyond ``--minutes`` is ended and its steps so far are printed.

With ``--group`` the runs are in a control group that has been made before, such as
``/sys/fs/cgroup/small`` with a ``memory.max`` of 2 GB. The pages of files count against its limit,
and the system takes them out when they reach it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DAYS, SEASON = 365, 7
#: Days of every month.
PROMOTIONS = (1, 2, 12, 13, 24)
#: Series that are written at a time, so that making the file takes little memory.
BLOCK = 5_000
CONFIG = """\
defaults:
  - framework
  - override source: files
  - _self_
name: many
panel: {{targets: [y], frequency: D, horizon: {horizon}, season_length: {season}}}
source:
  files: {{rows: {rows}}}
  tables: {{sales: {{query: SELECT * FROM rows}}}}
features:
  primary: sales
  views:
    sales:
      entity: [store]
      columns: [y]
      ttl: 1d
      engineer:
        - {{op: lag, columns: [y], steps: [6, 13, 27]}}
        - {{op: rolling, columns: [y], windows: [7, 28], statistics: [mean]}}
preprocessor:
  static: []
  future: [{{step: calendar, fields: [day_of_week, day_of_month]}}]
model:
  n_estimators: {trees}
  n_jobs: {threads}
  origin_stride: {stride}
  scale: {{y: y_rolling_28_mean}}
backtest: {{folds: {folds}}}
"""


@dataclass
class Step:
    """What a run did after it had said ``name``, until its next line."""

    name: str
    seconds: float = 0.0
    bytes: int = 0
    anonymous: int = 0


@dataclass
class Measured:
    """One command. ``late``: it was ended because it took too long. ``processor``: its seconds of
    user and system. ``faults``: how often a page had to be read from the disk.
    """

    run: str
    steps: list[Step] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    late: bool = False
    processor: float = 0.0
    faults: int = 0

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def peak(self) -> int:
        return max(step.bytes for step in self.steps)

    @property
    def anonymous(self) -> int:
        return max(step.anonymous for step in self.steps)


def write_rows(path: Path, series: int) -> None:
    """Write series in blocks: levels that differ by a factor of 100, each with a trend, a weekly
    season that is nearly the same for all, promotions on days that the calendar tells, and noise.
    Seasonal naive repeats the noise and the promotions of the week before.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    day = np.arange(DAYS)
    times = np.datetime64("2025-01-01", "us") + day * np.timedelta64(1, "D")
    levels = np.geomspace(1, 100, series)
    season = 0.3 * np.sin(2 * np.pi * (day % SEASON) / SEASON)
    of_month = (times.astype("M8[D]") - times.astype("M8[M]")).astype(int) + 1
    promotion = 0.4 * np.isin(of_month, PROMOTIONS)
    schema = pa.schema(
        {"store": pa.string(), "event_timestamp": pa.timestamp("us"), "y": pa.float64()}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, series, BLOCK):
            numbers = np.arange(first, min(first + BLOCK, series))
            generator = np.random.default_rng(first)
            shape = (len(numbers), DAYS)
            week = season + generator.normal(0, 0.03, (len(numbers), SEASON))[:, day % SEASON]
            trend = generator.normal(0.0003, 0.0002, (len(numbers), 1)) * day
            noise = generator.normal(0, 0.1, shape)
            values = levels[numbers][:, None] * (1 + week + promotion + trend + noise)
            names = np.repeat([f"s{number:06}" for number in numbers], DAYS)
            columns = [pa.array(names), pa.array(np.tile(times, len(numbers))), values.ravel()]
            writer.write_table(pa.table(columns, schema=schema))


def resident(root: int) -> tuple[int, int]:
    """Sum the resident bytes of a process and its descendants, and the anonymous ones of them."""
    sums, left = {"VmRSS": 0, "RssAnon": 0}, [(root, [""])]
    while left:
        process, parent = left.pop()
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            sizes = [line for line in lines if line.startswith(("Vm", "Rss"))]
            for task in Path(f"/proc/{process}/task").iterdir():
                left += [(int(child), sizes) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if sizes == parent:  # it has the memory of its parent until its own program begins
            continue
        for name, _, value in (line.partition(":") for line in lines):
            if name in sums:
                sums[name] += 1024 * int(value.split()[0])
    return sums["VmRSS"], sums["RssAnon"]


def measure(
    project: Path, run: str, overrides: list[str], limit: float, group: Path | None = None
) -> Measured:
    """Run a command in ``project``, and in a control group, and follow its lines and its memory."""
    measured = Measured(run, [Step("begin")])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "framework", f"run={run}", *overrides]
    if group is not None:
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *command]
    process = subprocess.Popen(
        command,
        cwd=project,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def follow() -> None:
        begun = started
        for line in process.stderr or ():
            now = time.perf_counter()
            measured.steps[-1].seconds = now - begun
            begun = now
            measured.steps.append(Step(line.strip()))
        measured.steps[-1].seconds = time.perf_counter() - begun

    def watch() -> None:
        while process.poll() is None:
            step = measured.steps[-1]
            total, anonymous = resident(process.pid)
            step.bytes, step.anonymous = max(step.bytes, total), max(step.anonymous, anonymous)
            if time.perf_counter() - started > limit:
                measured.late = True
                process.terminate()
                return
            time.sleep(0.05)

    threads = [threading.Thread(target=work) for work in (follow, watch)]
    for thread in threads:
        thread.start()
    output = process.stdout.read() if process.stdout else ""
    for thread in threads:
        thread.join()
    code = process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    measured.faults = after.ru_majflt - before.ru_majflt
    lines = output.splitlines()
    measured.result = json.loads(lines[-1]) if lines else {}
    if code and not measured.late:
        said = "\n".join(step.name for step in measured.steps[-5:])
        raise SystemExit(f"hundred_thousand: run={run} ended with {code}:\n{said}\n{output}")
    return measured


def print_steps(series: int, measured: Measured, least: float) -> None:
    """Print the steps that took ``least`` seconds or more, and the others as one."""
    small = [step for step in measured.steps if step.seconds < least]
    rest = Step(f"({len(small)} shorter steps)", sum(step.seconds for step in small))
    rest.bytes = max((step.bytes for step in small), default=0)
    rest.anonymous = max((step.anonymous for step in small), default=0)
    for step in [*(step for step in measured.steps if step.seconds >= least), rest]:
        print(
            f"{series:>7} {measured.run:<8} {step.seconds:>8.1f} s {step.bytes / 2**20:>7.0f} MB "
            f"{step.anonymous / 2**20:>7.0f} MB anonymous  {step.name[:100]}"
        )
    print(
        f"{series:>7} {measured.run:<8} {measured.seconds:>8.1f} s "
        f"{measured.peak / 2**20:>7.0f} MB {measured.anonymous / 2**20:>7.0f} MB anonymous  "
        f"{'ended: too late' if measured.late else 'in all'}, {measured.processor:.0f} s of "
        f"processor, {measured.faults:,} pages read from the disk",
        flush=True,
    )


def one_size(series: int, folder: Path, arguments: argparse.Namespace) -> list[Measured]:
    """Make a project of so many series and go through its three runs."""
    project = folder / str(series)
    (project / "conf").mkdir(parents=True)
    write_rows(project / "rows.parquet", series)
    text = CONFIG.format(
        rows=project / "rows.parquet",
        season=SEASON,
        horizon=arguments.horizon,
        trees=arguments.trees,
        threads=arguments.threads,
        folds=arguments.folds,
        stride=arguments.stride,
    )
    (project / "conf" / "config.yaml").write_text(text)
    done: list[Measured] = []
    for run in ("ingest", "train", "predict"):
        left = 60 * arguments.minutes - sum(measured.seconds for measured in done)
        done.append(measure(project, run, arguments.overrides, left, arguments.group))
        print_steps(series, done[-1], arguments.least)
        if done[-1].late:
            break
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--stride", type=int, default=13, help="every so many-th origin is learned")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gigabytes", type=float, default=12, help="the most memory of a size")
    parser.add_argument("--minutes", type=float, default=45, help="the most time of a size")
    parser.add_argument("--least", type=float, default=0.5, help="seconds of a step with a line")
    parser.add_argument("--group", type=Path, help="a control group, which may limit the memory")
    parser.add_argument("--folder", type=Path, help="where the projects are made and kept")
    parser.add_argument("overrides", nargs="*", help="of the runs, such as model.max_bin=64")
    arguments = parser.parse_args()
    summary: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for series in arguments.series:
            done = one_size(series, (arguments.folder or Path(temporary)).resolve(), arguments)
            seconds = sum(measured.seconds for measured in done)
            summary[series] = {
                "seconds": round(seconds, 1),
                "MB": round(max(measured.peak for measured in done) / 2**20),
                "ms_a_series": round(1000 * seconds / series, 3),
                "late": any(measured.late for measured in done),
                "processor": round(sum(measured.processor for measured in done), 1),
                "pages_read": sum(measured.faults for measured in done),
                "runs": {m.run: [round(m.seconds, 1), round(m.peak / 2**20)] for m in done},
                "anonymous_bytes_a_row": {m.run: m.anonymous // (series * DAYS) for m in done},
            }
    sizes = sorted(summary)
    largest, smallest = summary[sizes[-1]], summary[sizes[0]]
    ratio = largest["ms_a_series"] / smallest["ms_a_series"]
    body = {"benchmark": "hundred_thousand", "days": DAYS, "sizes": summary}
    print(json.dumps({**body, "seconds_a_series_ratio": round(ratio, 3)}))
    if any(size["late"] or size["MB"] > 1024 * arguments.gigabytes for size in summary.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
