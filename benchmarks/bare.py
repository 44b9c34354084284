"""The barest server of the pair of serving_pair.py: an ASGI function, orjson, numpy transform,
inplace_predict; nothing is checked.

    python benchmarks/bare.py FOLDER PORT

Its array work is what the other products' servers are given, too.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from framework.data.vocabulary import TIME
from framework.interfaces.registry import PairVersion, ProvenPair
from framework.pairs.loading import open_proven
from framework.plugins.discovery import load_plugins

VERSION = PairVersion("benchmark", 1, "0" * 32, "0" * 64, "0" * 32, "2013-12-31T00:00:00Z")
TARGETS = ("departures", "mean_delay")
PAST = (*TARGETS, *(f"feature_{i}" for i in range(23)))
STATIC = ("airport", "carrier")
STEPS = 7
_AHEAD = np.arange(1, STEPS + 1) * np.timedelta64(86_400_000_000, "us")


class ArrayWork:
    """Every row at once: transform, boosters, sorted quantiles."""

    def __init__(self, directory: Path) -> None:
        import xgboost

        proven = ProvenPair(VERSION, directory / "preprocessor", directory / "model", "")
        self._transform = open_proven(proven, load_plugins()).pair.preprocessor
        files = [
            directory / "model" / "state" / f"{kind}_{t}.ubj"
            for t in range(len(TARGETS))
            for kind in ("mean", "quantiles")
        ]
        self._boosters = [xgboost.Booster({"nthread": 1}, model_file=str(file)) for file in files]

    def __call__(self, past: Any, static: Any, origins: Any) -> tuple[Any, Any]:
        """``past[n, 25]``, ``static[n, 2]``, ``origins[n]`` to times ``[n, H]`` and values ``[n, H,
        T, 3]``.
        """
        n, times = len(origins), origins[:, None] + _AHEAD
        past, static = self._transform.past(past, origins), self._transform.static(static)
        future = self._transform.future(np.empty((STEPS * n, 0)), times.ravel())
        f, s = past.shape[1], past.shape[1] + static.shape[1]
        matrix = np.empty((n, STEPS, s + future.shape[1] + 1), dtype=np.float32)
        matrix[:, :, :f], matrix[:, :, f:s] = past[:, None], static[:, None]
        matrix[:, :, s:-1], matrix[:, :, -1] = future.reshape(n, STEPS, -1), np.arange(1, STEPS + 1)
        matrix = matrix.reshape(n * STEPS, -1)
        values = np.empty((n, STEPS, len(TARGETS), 3))
        for t in range(len(TARGETS)):
            mean, quantiles = (
                booster.inplace_predict(matrix) for booster in self._boosters[2 * t : 2 * t + 2]
            )
            values[:, :, t, 0], values[:, :, t, 1:] = (
                mean.reshape(n, STEPS),
                np.sort(quantiles, axis=1).reshape(n, STEPS, 2),
            )
        return times, values

    def rows(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The rows of a body to what the answer has."""
        origins = np.array([row[TIME][:-1] for row in rows], dtype="M8[us]")
        past = np.array([[row[c] for c in PAST] for row in rows], dtype=np.float64)
        times, values = self(
            past, np.array([[row[c] for c in STATIC] for row in rows], dtype=object), origins
        )
        answers = []
        for when, targets in zip(
            times.tolist(), values.transpose(0, 2, 3, 1).tolist(), strict=True
        ):
            named = zip(TARGETS, targets, strict=True)
            answers.append(
                {
                    "times": when,
                    "targets": {
                        t: {"mean": m, "quantiles": {"0.1": low, "0.9": high}}
                        for t, (m, low, high) in named
                    },
                }
            )
        return {"forecasts": answers}


def serve(directory: Path, port: int) -> None:
    import orjson
    import uvicorn

    work = ArrayWork(directory)

    async def app(
        scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        answer = orjson.dumps(
            work.rows(orjson.loads(body)["rows"]), option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
        )
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(
        app,
        port=port,
        log_level="warning",
        access_log=False,
        http="httptools",
        loop="uvloop",
        lifespan="off",
    )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
