"""The last minutes of a server, from its own metrics: looked at again and again, so that what was
between two snapshots can be told.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from time import time
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.serving.http.metrics import STAGES, Metrics

#: Seconds between two snapshots, and how many intervals are kept: a quarter of an hour.
EVERY, KEPT = 10, 90

Labels = tuple[str, ...]
_QUANTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts since the server began. ``requests`` by status and arm, ``stages`` by stage and arm:
    below each upper bound; ``shadows`` by alias and outcome.
    """

    at: int  # seconds since 1970
    requests: dict[Labels, float]
    stages: dict[Labels, dict[float, float]]
    shadows: dict[Labels, float]
    in_flight: float


class Traffic:
    """A thread takes a snapshot every ten seconds, on the clock, as other processes do at the same
    times. ``routes``: what counts.
    """

    def __init__(self, metrics: Metrics, routes: Collection[str]) -> None:
        self._metrics, self._routes = metrics, frozenset(routes)
        self._snapshots: deque[Snapshot] = deque(maxlen=KEPT + 1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        self._snapshots.append(self.snapshot(int(time())))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY - time() % EVERY):
            self._snapshots.append(self.snapshot(round(time())))

    def snapshot(self, at: int) -> Snapshot:
        requests: dict[Labels, float] = defaultdict(float)
        stages: dict[Labels, dict[float, float]] = defaultdict(dict)
        shadows: dict[Labels, float] = defaultdict(float)
        in_flight = 0.0
        for name, labels, value in self._metrics.samples():
            if name == "framework_requests_total" and labels["route"] in self._routes:
                requests[labels["status"], labels["arm"]] += value
            elif name == "framework_stage_seconds_bucket":
                stages[labels["stage"], labels["arm"]][float(labels["le"])] = value
            elif name == "framework_shadow_requests_total":
                shadows[labels["arm"], labels["outcome"]] += value
            elif name == "framework_requests_in_flight":
                in_flight += value
        return Snapshot(at, dict(requests), dict(stages), dict(shadows), in_flight)

    def shown(self) -> dict[str, Any]:
        """``{"now", "times", "seconds", "requests", "stages", "shadows", "in_flight"}``; the first
        list has one entry an interval.

        ``times``: the end of each, UTC. ``seconds``: how long each was. ``requests``: ``{"status",
        "arm", "counts"}``. ``stages``: ``{"stage", "arm", "counts", "p50", "p95", "last"}`` in
        milliseconds, null without a request; ``arm`` is null for all together, and ``last`` the
        figures of all intervals as one. ``shadows``: ``{"alias", outcome: count}`` since the server
        began.
        """
        now = self.snapshot(round(time()))
        snapshots = [snapshot for snapshot in self._snapshots if snapshot.at < now.at]
        last = [*snapshots, now]
        requests = [
            {
                "status": status,
                "arm": arm,
                "counts": [
                    round(n)
                    for n in _changes(
                        [snapshot.requests.get((status, arm), 0.0) for snapshot in last]
                    )
                ],
            }
            for status, arm in sorted(now.requests)
        ]
        shadows: dict[str, dict[str, Any]] = defaultdict(dict)
        for (alias, outcome), count in sorted(now.shadows.items()):
            shadows[alias][outcome] = round(count)
        return {
            "now": _text(now.at),
            "times": [_text(snapshot.at) for snapshot in last[1:]],
            "seconds": [after.at - before.at for before, after in pairwise(last)],
            "requests": [entry for entry in requests if any(entry["counts"])],
            "stages": [*_stages(last)],
            "shadows": [{"alias": alias, **counts} for alias, counts in shadows.items()],
            "in_flight": round(now.in_flight),
        }


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _changes(values: Sequence[float]) -> list[float]:
    return [float(change) for change in np.maximum(np.diff(values), 0.0)]


def _stages(snapshots: Sequence[Snapshot]) -> Iterator[dict[str, Any]]:
    """All arms together first, then each by itself where there are several."""
    arms = sorted({arm for _, arm in snapshots[-1].stages})
    for arm in (None, *(arms if len(arms) > 1 else ())):
        for stage in STAGES:
            parts = [
                _below(snapshots, (stage, name))
                for name in (arms if arm is None else (arm,))
                if (stage, name) in snapshots[-1].stages
            ]
            if parts:
                bounds = parts[0][0]
                below = np.sum([counts for _, counts in parts], axis=0)
                yield {
                    "stage": stage,
                    "arm": arm,
                    **_figures(bounds, np.maximum(np.diff(below, axis=0), 0.0)),
                }


def _below(snapshots: Sequence[Snapshot], key: Labels) -> tuple[Float64, Float64]:
    """Upper bounds ``[b]`` in seconds, and counts ``[snapshots, b]`` below each."""
    bounds = sorted(snapshots[-1].stages[key])
    return np.array(bounds), np.array(
        [
            [snapshot.stages.get(key, {}).get(bound, 0.0) for bound in bounds]
            for snapshot in snapshots
        ]
    )


def _figures(bounds: Float64, below: Float64) -> dict[str, Any]:
    lines = {name: [quantile(bounds, some, q) for some in below] for name, q in _QUANTILES.items()}
    total = below.sum(axis=0)
    last = {name: quantile(bounds, total, q) for name, q in _QUANTILES.items()}
    return {
        "counts": below[:, -1].astype(int).tolist(),
        **lines,
        "last": {"count": int(total[-1]), **last},
    }


def quantile(bounds: Float64, below: Float64, q: float) -> float | None:
    """Milliseconds, by linear interpolation in the bucket, as Prometheus' ``histogram_quantile``
    does it; None without a count.

    ``below[i]``: how many took at most ``bounds[i]`` seconds; the last bound is infinite, and what
    lies there is given as the one before.
    """
    total = below[-1]
    if not total:
        return None
    place = int(np.searchsorted(below, q * total))
    if place >= len(bounds) - 1:
        return float(bounds[-2] * 1000)
    lower, before = (bounds[place - 1], below[place - 1]) if place else (0.0, 0.0)
    share = (q * total - before) / (below[place] - before)
    return float(f"{(lower + (bounds[place] - lower) * share) * 1000:.4g}")
