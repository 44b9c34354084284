"""Requests per second of ``POST /predict/feast`` with one entity and 16 clients on Ray Serve, side
by side in one Ray, on the same pair:

bare      the barest application of the same four deployments: it hands numpy arrays on, does the
same numeric work, checks nothing services  framework's four services
(``serving.topology=separate``) fused     framework's one (``serving.topology=fused``)

and what a hop costs: milliseconds until an answer (p50, one client) of the bare application with 0,
1, 2 and 3 of its stages in deployments of their own, and of ours with 0 (fused), 2 (rows in the
request) and 3.

    python benchmarks/ray_serve.py [--rounds 5] [--requests 1500] [--latency] [--default-mode]
    [--options JSON]

The pair is that of serving_pair.py, the feature store a dictionary. One replica of each deployment.
Every answer must have the status
200. Rounds are interleaved, the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from bare import PAST, TARGETS, VERSION
from load import Target, interleaved, medians, ratio, table
from ray_store import ORIGIN, serve_until_stopped
from serving_pair import payload, train

from framework.interfaces.registry import ProvenPair
from framework.pairs.loading import open_proven
from framework.plugins.discovery import load_plugins
from framework.serving.deployment import Deployment

ENTITY = {"airport": "A0", "carrier": "C0"}
ROW = np.random.default_rng(7).normal(20, 5, (1, len(PAST)))
AHEAD, STEPS, NOTHING = (
    np.arange(1, 8) * np.timedelta64(86_400_000_000, "us"),
    np.arange(1, 8),
    np.empty((7, 0)),
)


class BareStore:
    async def __call__(self, entity: dict[str, str]) -> tuple[Any, ...]:
        return (
            np.array([ORIGIN]),
            ROW,
            np.array([[entity["airport"], entity["carrier"]]], dtype=object),
        )


class BarePreprocessing:
    def __init__(self, directory: Path) -> None:
        proven = ProvenPair(VERSION, directory / "preprocessor", directory / "model", "")
        self._transform = open_proven(proven, load_plugins()).pair.preprocessor

    async def __call__(self, found: tuple[Any, ...]) -> tuple[Any, ...]:
        origin, row, static = found
        times = origin + AHEAD
        return (
            times,
            self._transform.past(row, origin),
            self._transform.static(static),
            self._transform.future(NOTHING, times),
        )


class BareModel:
    def __init__(self, directory: Path) -> None:
        import xgboost

        paths = [
            directory / "model" / "state" / f"{kind}_{t}.ubj"
            for t in range(len(TARGETS))
            for kind in ("mean", "quantiles")
        ]
        self._boosters = [xgboost.Booster({"nthread": 1}, model_file=str(path)) for path in paths]

    async def __call__(self, windows: tuple[Any, ...]) -> tuple[Any, Any]:
        times, past, static, future = windows
        matrix = np.empty(
            (7, past.shape[1] + static.shape[1] + future.shape[1] + 1), dtype=np.float32
        )
        matrix[:, : past.shape[1]] = past
        matrix[:, past.shape[1] : past.shape[1] + static.shape[1]] = static
        matrix[:, past.shape[1] + static.shape[1] : -1] = future
        matrix[:, -1] = STEPS
        values = np.empty((7, len(TARGETS), 3))
        for t in range(len(TARGETS)):
            mean, quantiles = (
                booster.inplace_predict(matrix) for booster in self._boosters[2 * t : 2 * t + 2]
            )
            values[:, t, 0], values[:, t, 1:] = mean, np.sort(quantiles, axis=1)
        return times, values


class BareIngress:
    """``hops``: so many stages, from the last, are deployments of their own; the others are done
    here.
    """

    def __init__(self, directory: Path, hops: int, *handles: Any) -> None:
        here = [BareStore(), BarePreprocessing(directory), BareModel(directory)][: 3 - hops]
        self._here, self._there = here, handles

    async def __call__(self, request: Any) -> Any:
        from starlette.responses import Response

        value: Any = orjson.loads(await request.body())["entity"]
        for stage in self._here:
            value = await stage(value)
        for handle in self._there:  # what one answers goes to the next without coming back
            value = handle.remote(value)
        times, values = await value if self._there else value
        targets = {}
        for t, name in enumerate(TARGETS):
            mean, low, high = values[:, t].T.tolist()
            targets[name] = {"mean": mean, "quantiles": {"0.1": low, "0.9": high}}
        body = orjson.dumps(
            {"times": times.tolist(), "targets": targets},
            option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z,
        )
        return Response(body, media_type="application/json")


def bare(directory: Path, hops: int) -> Any:
    from ray import serve

    def bound(target: type[Any], *arguments: Any) -> Any:
        # as ours: as many at once as the clients ask
        return serve.deployment(
            target, ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=64
        ).bind(*arguments)

    stages = [(BareStore, ()), (BarePreprocessing, (directory,)), (BareModel, (directory,))][
        3 - hops :
    ]
    return bound(
        BareIngress, directory, hops, *(bound(target, *arguments) for target, arguments in stages)
    )


def serve_all(directory: Path, names: Sequence[str], optimized: bool, more: dict[str, Any]) -> None:
    """One Ray, each application at a route of its name. Prints the port."""

    def applications(deployment: Deployment, options: Any) -> Iterator[tuple[str, str, Any]]:
        from framework_ray_serve.application import make

        for name in names:
            if name.startswith("bare"):
                yield name, f"/{name}", bare(directory, int(name[-1]))
                continue
            topology = "fused" if name == "fused" else "separate"
            yield (
                name,
                f"/{name}",
                make(deployment, options.model_copy(update={"topology": topology})),
            )

    serve_until_stopped(
        directory, ROW[None], {"throughput_optimized": optimized, **more}, applications
    )


def compare(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pair, golden = train(work)
        for kind, body in (
            ("entity", json.dumps({"entity": ENTITY}).encode()),
            ("row", payload(pair, golden, 1)),
        ):
            (work / kind).write_bytes(body)
        names = [
            "bare3",
            "services",
            "fused",
            *(["bare0", "bare1", "bare2"] if given.latency else []),
        ]
        mode = "default" if given.default_mode else "optimized"
        command = [
            sys.executable,
            __file__,
            "--serve",
            str(work),
            ",".join(names),
            mode,
            given.options,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())

            def asked(path: str, kind: str = "entity") -> Target:
                return Target(port, path, work / kind)

            services, fused = asked("/services/predict/feast"), asked("/fused/predict/feast")
            servers = {"bare": asked("/bare3"), "services": services, "fused": fused}
            rates = interleaved(servers, dict.fromkeys(servers, given.requests), given.rounds)
            hops = {f"bare, {n} hops": asked(f"/bare{n}") for n in range(4)}
            hops |= {
                "ours, 0 hops": fused,
                "ours, 2 hops": asked("/services/predict", "row"),
                "ours, 3 hops": services,
            }
            alone = (
                interleaved(
                    hops, dict.fromkeys(hops, max(50, given.requests // 5)), given.rounds, clients=1
                )
                if given.latency
                else {}
            )
        finally:
            process.terminate()
            process.wait()
    print(f"16 clients\n{table(rates)}")
    summary = ", ".join(
        f"{server} {ratio(rates, server, 'bare'):.2f} x bare" for server in ("services", "fused")
    )
    if alone:
        print(f"1 client\n{table(alone)}")
        first, last = (medians(alone[f"bare, {n} hops"])["p50"] for n in (0, 3))
        summary += f"; a hop costs {(last - first) / 3:.1f} ms"
    print(f"one entity: {summary}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--latency", action="store_true", help="what a hop costs, too")
    parser.add_argument(
        "--default-mode", action="store_true", help="without RAY_SERVE_THROUGHPUT_OPTIMIZED"
    )
    parser.add_argument("--options", default="{}", help="of serving=ray, as JSON")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        directory, names, mode, options = given.serve
        serve_all(Path(directory), names.split(","), mode == "optimized", json.loads(options))
    else:
        signal.signal(
            signal.SIGTERM, lambda *_: sys.exit(1)
        )  # so that the servers are stopped, too
        compare(given)


if __name__ == "__main__":
    main()
