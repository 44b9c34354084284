"""NLinear and TFT on a GPU: one epoch of training, and a batch of 500 windows, beside the CPU and
beside the bare torch module on the same GPU.

    python benchmarks/gpu.py [--device cuda] [--seconds 5] [--origins 5000]

``framework`` is the model half of a pair that was moved to the device: scaling, tensors, the module
in float64, natural units again. ``module`` is the module with the same weights on the same arrays,
in float64 and in float32, on the same device; nothing is scaled or brought back to natural units.
``equal`` is the largest relative difference between the device's forecasts and the CPU's; ``alone``
whether a window alone has the same bits as in the batch. ``busy`` is the GPU's utilization by NVML
in the last second of the framework's turn, null without a GPU.

The sides take turns in one process; figures are medians. Prints a table and, last, a JSON summary
with the device's name. ``--device cpu`` runs the same without a GPU: it checks the script, its
figures say nothing about one.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from torch_serving import HORIZON, LENGTH, MODELS, STEPS, bare, fitted, medians, windows_of

from framework.data.schema import Schema
from framework.data.windows import WindowSet
from framework.models.gpus import load_of, visible_gpus

BATCH = 500


def many(origins: int) -> WindowSet:
    """Windows at every step that has a context and a horizon, at most ``origins`` of them."""
    newest = windows_of(np.random.default_rng(0))
    starts = newest.arrays.offsets[:-1]
    every = (starts[:, None] + np.arange(LENGTH - 1, STEPS - HORIZON - 1)[None, :]).ravel()
    return WindowSet(newest.arrays, every[:origins], LENGTH, HORIZON)


def epoch_seconds(name: str, windows: WindowSet, schema: Schema, device: str) -> float:
    kind, options, _ = MODELS[name]
    accelerator = "cpu" if device == "cpu" else "gpu"
    model = kind(options(n_epochs=1, accelerator=accelerator, batch_size=512, threads=None))
    model.fit(windows, None, schema, 0)  # the device and its kernels are ready after it
    started = time.perf_counter()
    model.fit(windows, None, schema, 0)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each model")
    parser.add_argument("--origins", type=int, default=5000)
    arguments = parser.parse_args()
    device = arguments.device
    on_gpu = device != "cpu"
    name_of_device = torch.cuda.get_device_name() if on_gpu else "cpu"
    windows = many(arguments.origins)
    batch = windows.gather().part(0, BATCH)
    summary: dict[str, Any] = {"benchmark": "gpu", "device": name_of_device}
    print(
        f"{'model':>8} {'epoch cpu s':>12} {'device s':>9} {'500 ms':>8} {'module f64':>11} "
        f"{'f32':>8} {'ratio f64':>10} {'equal':>9} {'alone':>6} {'busy %':>7}"
    )
    for name in MODELS:
        model, schema = fitted(name, windows)
        before = model.predict(batch)
        if on_gpu:
            model.move(device)
        answers = model.predict(batch)
        difference = float((np.abs(answers - before) / np.maximum(np.abs(before), 1)).max())
        alone = model.predict(batch.part(7, 8)).tobytes() == answers[7:8].tobytes()
        figures = medians(
            {
                "framework": lambda m=model: m.predict(batch),
                "f64": bare(model, batch, torch.float64, device),
                "f32": bare(model, batch, torch.float32, device),
            },
            arguments.seconds,
        )
        ends = time.perf_counter() + 2
        while time.perf_counter() < ends:
            model.predict(batch)
        load = load_of(visible_gpus()[0]) if on_gpu else None
        epochs = {where: epoch_seconds(name, windows, schema, where) for where in {"cpu", device}}
        ratio = figures["framework"] / figures["f64"]
        summary[name] = {
            "ratio_to_the_module": round(ratio, 3),
            "epoch_speedup": round(epochs["cpu"] / epochs[device], 2),
            "difference": difference,
            "alone_equals_batch": alone,
            "busy": None if load is None else load.busy,
        }
        print(
            f"{name:>8} {epochs['cpu']:>12.2f} {epochs[device]:>9.2f} "
            f"{figures['framework']:>8.2f} {figures['f64']:>11.2f} {figures['f32']:>8.2f} "
            f"{ratio:>10.2f} {difference:>9.1e} {alone!s:>6} "
            f"{'-' if load is None else format(load.busy, '.0f'):>7}",
            flush=True,
        )
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
