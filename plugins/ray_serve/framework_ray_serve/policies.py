"""Autoscaling by what the replicas report of themselves. Ray Serve's controller runs it: it imports
Ray and nothing of ours.
"""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingContext

#: A mean this close to its target (a share of it) changes nothing, so that the number of replicas
#: does not swing.
_TOLERANCE = 0.1


class Holding:
    """As many replicas as bring the mean of ``metric`` to ``target``, taken to be inversely
    proportional to their number.

    Bounds and delays are Ray Serve's: ``min_replicas``, ``max_replicas``, ``upscale_delay_s``,
    ``downscale_delay_s``.
    """

    def __init__(self, metric: str, target: float) -> None:
        self._metric, self._target = metric, target

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        reported = (context.aggregated_metrics or {}).get(self._metric) or {}
        if not reported:
            return context.target_num_replicas, {}
        ratio = sum(reported.values()) / len(reported) / self._target
        if abs(ratio - 1) <= _TOLERANCE:
            return context.target_num_replicas, {}
        return max(1.0, context.current_num_replicas * ratio), {}
