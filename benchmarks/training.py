"""One epoch of NLinear and TFT: the framework's training beside Darts' own trainer.

    python benchmarks/training.py [--device cpu] [--origins 5700] [--rounds 3]

``framework`` is the second epoch of a fit, so that scales and the rows' way to the device do not
count. ``darts`` is the epoch by the clock of Lightning's callbacks, on ``TimeSeries`` that are
there already: making the trainer does not count. Both have the same windows, architecture,
optimizer and number of outputs, one thread on the CPU, and batches of 32 and of the size that the
framework chooses. The sides take turns; figures are medians. Prints a table and, last, a JSON
summary with the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from darts import TimeSeries
from darts.utils.likelihood_models.torch import QuantileRegression
from framework_darts.training import batch_size_of
from pytorch_lightning import Callback
from torch_serving import (
    HORIZON,
    LENGTH,
    MODELS,
    QUANTILES,
    STATIC,
    STEPS,
    fitted,
    silence,
    windows_of,
)

from framework.data.schema import Schema
from framework.data.windows import WindowSet


def many(origins: int) -> WindowSet:
    """Windows at every step that has a context and a horizon, at most ``origins`` of them."""
    newest = windows_of(np.random.default_rng(0))
    starts = newest.arrays.offsets[:-1]
    every = (starts[:, None] + np.arange(LENGTH - 1, STEPS - HORIZON)[None, :]).ravel()
    return WindowSet(newest.arrays, every[:origins], LENGTH, HORIZON)


def own_epoch(
    name: str,
    windows: WindowSet,
    schema: Schema,
    device: str,
    size: int | None,
    precision: str,
    threads: int | None = 1,
) -> Callable[[], float]:
    """Seconds of the second epoch of a fit through the framework."""
    kind, options, _ = MODELS[name]
    accelerator = "cpu" if device == "cpu" else "gpu"

    def run() -> float:
        model = kind(
            options(
                n_epochs=2,
                batch_size=size,
                accelerator=accelerator,
                precision=precision,
                threads=threads,
            )
        )
        ends: list[float] = []

        def told(*_: Any) -> None:
            synchronize()
            ends.append(time.perf_counter())

        with patch("framework_darts.training.tell", told):
            model.fit(windows, None, schema, 0)
        return ends[1] - ends[0]

    return run


def synchronize() -> None:
    """Wait for what a GPU has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Clock(Callback):
    """Measures an epoch of Lightning's."""

    seconds = 0.0
    steps = 0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += 1

    def on_train_epoch_end(self, *_: Any) -> None:
        synchronize()
        self.seconds = time.perf_counter() - self._started


def darts_epoch(name: str, windows: WindowSet, device: str, size: int) -> Callable[[], float]:
    """Seconds of an epoch of Darts' own trainer on the series that the windows are of."""
    import pandas as pd

    arrays, series = windows.arrays, []
    count = -(-len(windows) // (STEPS - LENGTH - HORIZON + 1))  # series that have so many windows
    past, future = [], []
    for start, end in zip(arrays.offsets[:count], arrays.offsets[1 : count + 1], strict=True):
        frame = pd.DataFrame(arrays.static[start][None], columns=[f"s{i}" for i in range(STATIC)])
        values = arrays.target[start:end].astype(np.float32)
        series.append(TimeSeries.from_values(values).with_static_covariates(frame))
        past.append(TimeSeries.from_values(arrays.past[start:end]))
        future.append(TimeSeries.from_values(arrays.future[start:end]))

    def run() -> float:
        clock = Clock()
        forecaster = MODELS[name][2](
            input_chunk_length=LENGTH,
            output_chunk_length=HORIZON,
            n_epochs=1,
            batch_size=size,
            likelihood=QuantileRegression([QUANTILES[0], 0.5, QUANTILES[1]]),
            **({"normalize": False} if name == "nlinear" else {}),
            pl_trainer_kwargs={
                "accelerator": "cpu" if device == "cpu" else "gpu",
                "callbacks": [clock],
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "logger": False,
                "enable_checkpointing": False,
            },
        )
        forecaster.fit(series, past_covariates=past, future_covariates=future)
        expected = -(-len(windows) // size)
        assert abs(clock.steps - expected) <= 1 + STEPS // size, (clock.steps, expected)
        return clock.seconds

    return run


def medians(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Seconds of each side. The first turn warms up; it counts where it is the only one."""
    turns = [{side: run() for side, run in sides.items()} for _ in range(rounds + (rounds > 1))]
    counted = turns[1:] if rounds > 1 else turns
    return {side: statistics.median(turn[side] for turn in counted) for side in sides}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--origins", type=int, default=5700, help="windows of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    silence()
    torch.set_num_threads(1)
    windows, device = many(arguments.origins), arguments.device
    _, schema = fitted("nlinear", windows)
    summary: dict[str, Any] = {"benchmark": "training", "windows": len(windows), "device": device}
    print(
        f"{'model':>8} {'batch':>6} {'framework s':>12} {'bf16 s':>8} {'darts s':>8} {'ratio':>6}"
    )
    for name in arguments.models:
        chosen = batch_size_of(MODELS[name][1](), len(windows))
        for size in sorted({32, chosen}):
            seconds = medians(
                {
                    "framework": own_epoch(name, windows, schema, device, size, "32-true"),
                    "bf16": own_epoch(name, windows, schema, device, size, "bf16-mixed"),
                    "darts": darts_epoch(name, windows, device, size),
                },
                arguments.rounds,
            )
            ratio = seconds["darts"] / seconds["framework"]
            summary[f"{name}_{size}"] = {
                "ratio": round(ratio, 2),
                **{side: round(value, 3) for side, value in seconds.items()},
            }
            print(
                f"{name:>8} {size:>6} {seconds['framework']:>12.2f} {seconds['bf16']:>8.2f} "
                f"{seconds['darts']:>8.2f} {ratio:>6.2f}",
                flush=True,
            )
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
