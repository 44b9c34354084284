"""Requests per second of ``POST /predict`` with one row and 16 clients, one worker each, side by side on the same pair:

ours      framework's server
bare      the barest server that does the same numeric work: starlette, orjson, numpy transform, inplace_predict; nothing is checked
mlflow    mlflow models serve on the model half alone: the features are in the request already, so it has less to do

    python benchmarks/serving_one_row.py [--rounds 5] [--requests 2000] [--no-mlflow]

The pair has the shape of xgb_daily: 25 past columns, 2 targets, 7 steps, 2 quantiles, a calendar with holidays, 100
rounds. Every answer must have the status 200. Rounds are interleaved, the figures are medians over the rounds; p99 in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from framework.errors import NotInstalledError
from framework.fit import fit_pair
from framework.frequency import Frequency
from framework.golden import Golden
from framework.interfaces.registry import PairDraft, ProvenPair
from framework.interfaces.values import TIME, PairVersion, Schema
from framework.interfaces.views import FeatureSet, View
from framework.loading import open_proven
from framework.pair import Pair
from framework.pairing import Evidence, write_pair
from framework.panel import Panel, panel_from_rows
from framework.plugins import load_plugins
from framework.provenance import requirements
from framework.serving.deployment import Deployment
from framework.serving.openapi import example_payload

CLIENTS = 16
TARGETS = ("departures", "mean_delay")
PAST = (*TARGETS, *(f"feature_{i}" for i in range(23)))
CALENDAR = ("day_of_week", "day_of_month", "month", "is_holiday", "days_to_holiday", "days_since_holiday")
VERSION = PairVersion("benchmark", 1, "0" * 32, "0" * 64, "0" * 32, "2013-12-31T00:00:00Z")


def make_panel(days: int = 120, series: int = 20) -> Panel:
    rng = np.random.default_rng(7)
    rows = pd.DataFrame(rng.normal(20, 5, (days * series, len(PAST))), columns=list(PAST))
    rows.insert(0, TIME, np.tile(pd.date_range("2013-01-01", periods=days, freq="D", tz="UTC"), series))
    rows.insert(0, "carrier", np.repeat([f"C{i % 10}" for i in range(series)], days))
    rows.insert(0, "airport", np.repeat([f"A{i // 10}" for i in range(series)], days))
    return panel_from_rows(
        rows, entity_keys=("airport", "carrier"), past=PAST, known=(), categories=(), frequency=Frequency.parse("D"), gaps="refuse"
    )


def train(directory: Path) -> tuple[Pair, Golden]:
    """Fit and write the pair."""
    plugins, panel = load_plugins(), make_panel()
    schema = Schema(
        name="benchmark",
        entity_keys=("airport", "carrier"),
        frequency="D",
        targets=TARGETS,
        past=PAST,
        nullable=(),
        known=(),
        static=("airport", "carrier"),
        horizon=7,
        context_length=1,
        quantiles=(0.1, 0.9),
    )

    def make(kind: Any, name: str, options: dict[str, Any]) -> Any:
        return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(options))

    preprocessor = make("preprocessor", "native", {"future": [{"step": "calendar", "fields": CALENDAR, "country": "US"}]})
    pair = fit_pair(panel, schema, preprocessor, make("model", "xgboost", {"n_estimators": 100, "n_jobs": 1}), 0, 7)
    context = panel.context(schema, panel.entities[:4], None)
    golden = Golden(context, pair.forecast(context).values, 1e-5)
    write_pair(directory, pair, {"preprocessor": "native", "model": "xgboost"}, Evidence(golden, pd.DataFrame({"none": [0]}), {}))
    return pair, golden


class OnePair:
    """The parts of a deployment: the pair in the folder, no feature store."""

    max_context_length = 0

    def __init__(self, directory: Path) -> None:
        self.plugins = load_plugins()
        self.proven = ProvenPair(VERSION, directory / "preprocessor", directory / "model", "")

    def make(self, group: str) -> Any:
        return self

    def resolve(self, name: str, reference: str) -> PairVersion:
        return self.proven.version

    def fetch(self, version: PairVersion) -> ProvenPair:
        return self.proven


def serve_ours(directory: Path, port: int) -> None:
    parts = OnePair(directory)
    view = View(entity=("airport", "carrier"), columns=PAST, ttl=timedelta(days=1))
    features = FeatureSet(primary="daily", views={"daily": view})
    backend = parts.plugins.load("serving", "fastapi")(parts.plugins.find("serving", "fastapi").options(port=port))
    deployment = Deployment(parts, "benchmark", "production", features, "payload", directory / "state")
    backend.serve(deployment, lambda *_: None)


def serve_bare(directory: Path, port: int) -> None:
    import orjson
    import uvicorn
    import xgboost
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    proven = ProvenPair(VERSION, directory / "preprocessor", directory / "model", "")
    transform = open_proven(proven, load_plugins()).pair.preprocessor
    boosters = []
    for path in [directory / "model" / "state" / f"{kind}_{t}.ubj" for t in range(len(TARGETS)) for kind in ("mean", "quantiles")]:
        boosters.append(xgboost.Booster({"nthread": 1}, model_file=str(path)))
    ahead, steps, nothing = np.arange(1, 8) * np.timedelta64(86_400_000_000, "us"), np.arange(1, 8), np.empty((7, 0))

    async def predict(request: Request) -> Response:
        row = orjson.loads(await request.body())["rows"][0]
        origin = np.array([row[TIME][:-1]], dtype="M8[us]")
        times = origin + ahead
        past = transform.past(np.array([[row[c] for c in PAST]], dtype=np.float64), origin)
        static = transform.static(np.array([[row["airport"], row["carrier"]]], dtype=object))
        future = transform.future(nothing, times)
        matrix = np.empty((7, past.shape[1] + static.shape[1] + future.shape[1] + 1), dtype=np.float32)
        matrix[:, : past.shape[1]] = past
        matrix[:, past.shape[1] : past.shape[1] + static.shape[1]] = static
        matrix[:, past.shape[1] + static.shape[1] : -1] = future
        matrix[:, -1] = steps
        targets = {}
        for t, name in enumerate(TARGETS):
            mean, quantiles = (booster.inplace_predict(matrix) for booster in boosters[2 * t : 2 * t + 2])
            low, high = np.sort(quantiles, axis=1).astype(np.float64).T.tolist()
            targets[name] = {"mean": mean.astype(np.float64).tolist(), "quantiles": {"0.1": low, "0.9": high}}
        body = orjson.dumps({"times": times.tolist(), "targets": targets}, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    uvicorn.run(app, port=port, log_level="warning", access_log=False, http="httptools", loop="uvloop")


def register_with_mlflow(directory: Path, pair: Pair, golden: Golden, state: Path) -> tuple[dict[str, str], bytes]:
    """The pair in an MLflow registry of its own: the environment that reaches it, and a request of the model half."""
    import mlflow

    plugins, uri = load_plugins(), f"sqlite:///{state}/mlflow.db"
    given = {"artifact_location": str(state / "artifacts"), "ledger": f"sqlite:///{state}/ledger.db", "cache": str(state / "cache")}
    options = plugins.find("registry", "mlflow").options(tracking_uri=uri, experiment="benchmark", **given)
    pinned = requirements(pair.preprocessor, pair.model)
    draft = PairDraft(directory / "preprocessor", directory / "model", pair.schema, "", pinned)
    plugins.load("registry", "mlflow")(options).register(draft, "0" * 32)
    mlflow.set_tracking_uri(uri)
    rows = pd.DataFrame(example_payload(pair.schema, golden)["rows"])
    rows[TIME] = pd.to_datetime(rows[TIME])
    features = mlflow.pyfunc.load_model("models:/benchmark_preprocessor/1").predict(rows)
    body = {"dataframe_split": features.to_dict(orient="split", index=False)}
    return {"MLFLOW_TRACKING_URI": uri}, json.dumps(body).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, path: str, body: bytes, env: dict[str, str]) -> Iterator[int]:
    """A server process that answers ``body``."""
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
        while True:
            try:
                urllib.request.urlopen(request, timeout=5).read()
                break
            except urllib.error.HTTPError as error:
                sys.exit(f"{command}: {error.code}: {error.read().decode()[:500]}")
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{' '.join(command)} did not start")
                time.sleep(0.1)
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait()


class Client(asyncio.Protocol):
    """One keep-alive connection: sends the request again as soon as it is answered, until the shared number of requests is used up."""

    def __init__(self, request: bytes, left: Iterator[int], seconds: list[float]) -> None:
        self._request, self._left, self._seconds = request, left, seconds
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if next(self._left, None) is None:
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._seconds.append(time.perf_counter() - self._started)
        self._buffer = b""
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"an answer was not 200: {self._buffer[:300]!r}")
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, path: str, body: bytes, requests: int) -> dict[str, float]:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    left, seconds = iter(range(requests)), list[float]()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(head.encode() + body, left, seconds), "127.0.0.1", port))[1] for _ in range(CLIENTS)
    ]
    await asyncio.gather(*(client.done for client in clients))
    if len(seconds) != requests:
        raise SystemExit(f"{len(seconds)} of {requests} requests were answered")
    rate = requests / (time.perf_counter() - started)
    return {"rate": rate, "p50": 1e3 * statistics.median(seconds), "p99": 1e3 * sorted(seconds)[int(0.99 * requests)]}


def measure(port: int, path: str, body: Path, requests: int) -> dict[str, float]:
    """One round, by a process of its own."""
    command = [sys.executable, __file__, "--load", str(port), path, str(body), str(requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(rounds: int, requests: int, with_mlflow: bool) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        work = Path(name)
        pair, golden = train(work)
        one_row = json.dumps(example_payload(pair.schema, golden)).encode()
        servers: dict[str, tuple[int, str, Path, int]] = {}

        def start(server: str, command: list[str], port: int, path: str, body: bytes, requests: int, env: dict[str, str]) -> None:
            stack.enter_context(running(command, port, path, body, env))
            (work / f"{server}.json").write_bytes(body)
            servers[server] = (port, path, work / f"{server}.json", requests)

        for server in ("ours", "bare"):
            port = free_port()
            start(server, [sys.executable, __file__, "--serve", server, str(work), str(port)], port, "/predict", one_row, requests, {})
        try:
            found = register_with_mlflow(work, pair, golden, work) if with_mlflow else None
        except NotInstalledError as error:
            print(f"mlflow models serve is left out: {error}", file=sys.stderr)
            found = None
        if found is not None:
            env, features = found
            port = free_port()
            mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/benchmark_model/1", "--env-manager", "local"]
            start("mlflow", [*mlflow, "-w", "1", "-p", str(port)], port, "/invocations", features, max(50, requests // 10), env)
        results: dict[str, list[dict[str, float]]] = {server: [] for server in servers}
        for number in range(rounds + 1):
            for server, arguments in servers.items():
                result = measure(*arguments)
                if number:  # the first round warms up
                    results[server].append(result)
    report(results)


def report(results: dict[str, list[dict[str, float]]]) -> None:
    print(f"{'server':<10}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'lowest':>10}{'highest':>10}")
    for server, rounds in results.items():
        rate, p50, p99 = (statistics.median(r[key] for r in rounds) for key in ("rate", "p50", "p99"))
        rates = [r["rate"] for r in rounds]
        print(f"{server:<10}{rate:>10.0f}{p50:>10.2f}{p99:>10.2f}{min(rates):>10.0f}{max(rates):>10.0f}")
    rates = {server: [r["rate"] for r in rounds] for server, rounds in results.items()}
    ratios = {
        other: statistics.median(a / b for a, b in zip(rates["ours"], rates[other], strict=True)) for other in rates if other != "ours"
    }
    print("one row: ours is " + ", ".join(f"{ratio:.2f} x {other}" for other, ratio in ratios.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--no-mlflow", action="store_true", help="leave mlflow models serve out")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        {"ours": serve_ours, "bare": serve_bare}[given.serve[0]](Path(given.serve[1]), int(given.serve[2]))
    elif given.load:
        port, path, body, requests = given.load
        print(json.dumps(asyncio.run(load(int(port), path, Path(body).read_bytes(), int(requests)))))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped too
        compare(given.rounds, given.requests, not given.no_mlflow)


if __name__ == "__main__":
    main()
