"""A year of a project: its data, its server, and the runs of each day."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

from framework.config.config import Config, build_config
from framework.plugins import composition
from framework.plugins.discovery import block, load_plugins
from framework.plugins.run import Run

PROJECT = Path(__file__).parent.resolve() / "project"
SHOPS = {f"{town}{number}": town for town in ("north", "south") for number in range(4)}
FIRST, HISTORY, HORIZON, WEEK = np.datetime64("2023-01-01"), 240, 7, 7
EXPERIMENT = (
    "+experiment=shops",
    "model=xgboost",
    "model.n_estimators=60",
    "model.learning_rate=0.15",
    "model.max_depth=3",
    "model.n_jobs=1",
    "backtest.folds=20",
    "backtest.step=3",
    "validation.steps=0",
    "plugins.block=[report]",
)
#: A year passes in minutes, so limits by the clock are off: the alerts alone decide.
MONITOR = (
    "run=monitor",
    "ingest.when=always",
    "monitor.sample=0",
    "+monitor.alerts.rules.drift={signal: drift, above: 2}",
    "monitor.retrain.alerts=[drift]",
    "monitor.retrain.alias=production",
    "monitor.retrain.gain=0.05",
    "monitor.retrain.recent=1",
    "monitor.retrain.cooldown=0s",
    "monitor.retrain.per_day=99",
)
block(["report"])  # its plots cost more than the fits here
PLUGINS = load_plugins()
composition.register(PLUGINS)


@dataclass
class Year:
    """What comes, and what was seen of it: days are counted from the first one that is served."""

    folder: Path
    sales: np.ndarray  # [shops, HISTORY + days + HORIZON]
    change: int
    days: int
    seed: int
    means: dict[int, np.ndarray] = field(default_factory=dict)  # by origin [shops, HORIZON]
    versions: list[int] = field(default_factory=list)  # by day, of the pair that answered
    evidence: list[tuple[int, int, float]] = field(default_factory=list)  # day, pair, share
    retrained: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    def write(self, last: int) -> None:
        """Give the source the rows up to a day."""
        lines = ["shop,date,sales,visitors,town"]
        for shop, values in zip(SHOPS, self.sales, strict=True):
            lines += [
                f"{shop},{FIRST + step},{value:.2f},10,{SHOPS[shop]}"
                for step, value in enumerate(values[: HISTORY + last + 1])
            ]
        (self.folder / "data" / "sales.csv").write_text("\n".join(lines) + "\n")

    def run(self, *overrides: str) -> dict[str, Any]:
        """Do one run in this process, as a schedule does all of its runs in one."""
        with chdir(self.folder), Path("runs.log").open("a") as log, redirect_stderr(log):
            run = Run(
                configured(overrides), PLUGINS, Path(mkdtemp(dir=self.folder)), lambda _: None
            )
            result: dict[str, Any] = PLUGINS.load("run", run.config.run)(run)
            shutil.rmtree(run.directory)
        return result

    def errors(self) -> np.ndarray:
        """Give the mean absolute error of each day's forecasts, over shops and steps."""
        return np.array(
            [
                np.abs(mean - self.sales[:, HISTORY + day + 1 :][:, :HORIZON]).mean()
                for day, mean in sorted(self.means.items())
            ]
        )

    def history(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.run("run=history", "alias=production")["history"]
        return entries


@cache
def configured(overrides: tuple[str, ...]) -> Config:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return build_config(compose("config", [*EXPERIMENT, *overrides]), PLUGINS)


def made(days: int, change: int, size: float, factor: float, seed: int) -> np.ndarray:
    """Daily sales of every shop: a level, a week, noise. From the change on the level of the shops
    of the north is higher by ``size``, their noise ``factor`` times as large.
    """
    day = np.arange(HISTORY + days + HORIZON)
    level = 50 + np.arange(len(SHOPS))[:, None]
    week = 8 * np.sin(2 * np.pi * day / WEEK) + 6 * (day % WEEK == WEEK - 1)
    noise = np.random.default_rng(seed).normal(0, 3, (len(SHOPS), len(day)))
    changed = np.array([town == "north" for town in SHOPS.values()])[:, None] & (
        day >= HISTORY + change
    )
    return np.asarray(level + week + noise * np.where(changed, factor, 1) + size * changed)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server that follows the alias production; its URL."""
    overrides = ("run=serve", "alias=production", "serving.port=0", "serving.reload.seconds=0.5")
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "framework", *EXPERIMENT, *overrides, "ledger.seconds=1"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            ready = json.loads(line) if line else {}
            if ready.get("status") != "ready":
                sys.exit(line + (folder / "server.log").read_text())
            yield ready["url"]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def ask(year: Year, url: str) -> dict[str, Any] | None:
    """Ask for all shops; None where there is no answer with a forecast of each."""
    body = {"entities": [{"shop": shop} for shop in SHOPS], "at": None}
    request = urllib.request.Request(
        f"{url}/predict/feast/batch",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    year.asked += 1
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
    except OSError as error:
        year.failures.append(str(error))
        return None
    bad = [one["status"] for one in answer["forecasts"] if one["status"] != "ok"]
    year.failures += bad
    return None if bad else answer


def ask_for_day(year: Year, url: str, day: int) -> None:
    """Ask until the answer begins at the newest day, which the server sees in its store."""
    origin = str(FIRST + HISTORY + day)
    for _ in range(200):
        answer = ask(year, url)
        if answer is not None and answer["forecasts"][0]["origin"].startswith(origin):
            forecasts = [one["targets"]["sales"]["mean"] for one in answer["forecasts"]]
            year.means[day] = np.array(forecasts)
            year.versions.append(answer["pair"]["version"])
            return
        time.sleep(0.05)
    sys.exit(f"the server never answered from {origin}")


@contextmanager
def asking_on(year: Year, url: str) -> Iterator[None]:
    """Go on asking while the block runs, so that a failure during a reload is seen."""
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.wait(0.1):
            ask(year, url)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def monitored(year: Year, url: str, day: int) -> None:
    """The step that a scheduler would take each week: ingest, monitor, retrain."""
    with asking_on(year, url):
        result = year.run(*MONITOR)
        retrained = result["retrain"]
        if retrained is not None:
            time.sleep(2)  # the server looks at the alias every half second
    serving = result["serving"]["production"]["version"]
    shares = [
        np.log(max(one["evidence"], 1)) / np.log(one["threshold"])
        for one in result["drift"]
        if one["version"] == serving
    ]
    year.evidence.append((day, serving, float(max(shares, default=0))))
    if retrained is not None:
        year.retrained.append((day, retrained))


def begin(year: Year) -> None:
    """A pair of the history, under the alias."""
    shutil.copytree(PROJECT, year.folder, ignore=shutil.ignore_patterns("state"))
    year.write(-1)
    year.run()
    year.run("run=alias", "alias=production", "version=1")


def play(year: Year, until_retrained: bool = False) -> Path:
    """Play the days. With ``until_retrained`` they end with the first retraining.

    Returns:
        A copy of the project as it was before the last monitoring since the change.
    """
    before = year.folder.with_name("before")
    with served(year.folder) as url:
        for day in range(year.days):
            year.write(day)
            is_monday = day % WEEK == WEEK - 1
            year.run("run=ingest")
            ask_for_day(year, url, day)
            if is_monday:
                if until_retrained and day >= year.change:
                    time.sleep(1.5)  # the ledger has the forecasts by then
                    shutil.rmtree(before, ignore_errors=True)
                    shutil.copytree(year.folder, before)
                monitored(year, url, day)
                if until_retrained and year.retrained:
                    break
    return before
