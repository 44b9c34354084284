"""Forecasts, training and serving on a GPU, beside the CPU and beside the bare torch module.

    python benchmarks/gpu.py [--device cuda] [--seconds 5] [--origins 5700] [--requests 400]

``forecast`` is the model half of a pair that was moved to the device, for 500 windows: scaling,
tensors, the module in float64, natural units again. ``module`` is the module with the same weights
on the same arrays, in float64 and in float32, on the same device; nothing is scaled or brought back
to natural units. ``difference`` is the largest relative one between the device's forecasts and the
CPU's; ``alone = batch`` whether a window alone has the same bits as in the batch. ``epoch`` is that
of training.py: on all cores, on the device, there in bfloat16, and the epoch
of Darts' own trainer on the device, in batches of 512. ``served`` is TFT under Ray Serve with the
preset ``gpu``, 16 clients that ask for 100 entities each: windows a second, milliseconds of an
answer, seconds until it is ready. ``busy`` is the GPU's utilization by NVML, a median.

The sides take turns in one process; figures are medians. Prints a table and, last, a JSON summary
with the device's name; it takes some five minutes. ``--device cpu`` runs the same without a GPU: it
checks the script, its figures say nothing about one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_serving import Sampled, served
from serving_pair import train
from torch_serving import MODELS, bare, fitted, medians, silence
from training import darts_epoch, many, own_epoch

from framework.data.windows import Windows
from framework.interfaces.model import Model

BATCH, SIZE, ROUNDS = 500, 512, 3


def compared(model: Model, batch: Windows, device: str, seconds: float) -> dict[str, Any]:
    """Forecast on the CPU, move the model, forecast there: how far apart, how fast, how busy."""
    calls = {"forecast, cpu ms": lambda: model.predict(batch)}
    before, figures = model.predict(batch), dict[str, Any](medians(calls, seconds / 2))
    if device != "cpu":
        model.move(device)
    answers = model.predict(batch)
    figures["forecast, ms"] = medians({"x": lambda: model.predict(batch)}, seconds)["x"]
    scale = np.maximum(np.abs(before), np.abs(before).mean())
    figures["difference"] = float((np.abs(answers - before) / scale).max())
    alone = model.predict(batch.part(7, 8))
    figures["alone = batch"] = alone.tobytes() == answers[7:8].tobytes()
    with Sampled(device) as sampled:
        ends = time.perf_counter() + min(seconds, 3)
        while time.perf_counter() < ends:
            model.predict(batch)
    figures["forecast, busy %"] = float(np.median(sampled.busy)) if sampled.busy else None
    return figures


def boosted(device: str, seconds: float) -> dict[str, Any]:
    """XGBoost, 500 windows of the pair that the serving benchmarks share."""
    with tempfile.TemporaryDirectory() as name:
        pair, golden = train(Path(name))
        context = golden.context.take(np.arange(BATCH) % len(golden.context))
        return compared(pair.model, pair.windows(context), device, seconds)


def network(name: str, arguments: argparse.Namespace, device: str) -> dict[str, Any]:
    """A network: forecasts beside its bare module, and an epoch beside Darts' trainer."""
    windows = many(arguments.origins)
    batch = windows.gather().part(0, BATCH)
    model, schema = fitted(name, windows)
    figures = compared(model, batch, device, arguments.seconds)
    modules = {
        "module f64, ms": bare(model, batch, torch.float64, device),
        "module f32, ms": bare(model, batch, torch.float32, device),
    }
    figures |= medians(modules, arguments.seconds)
    figures["ratio to the module"] = figures["forecast, ms"] / figures["module f64, ms"]
    torch.set_num_threads(os.cpu_count() or 1)
    sides = {
        "epoch, cpu s": own_epoch(name, windows, schema, "cpu", SIZE, "32-true", threads=None),
        "epoch, s": own_epoch(name, windows, schema, device, SIZE, "32-true", threads=None),
        "epoch bf16, s": own_epoch(name, windows, schema, device, SIZE, "bf16-mixed", threads=None),
        "darts' epoch, s": darts_epoch(name, windows, device, SIZE),
    }
    for side, run in sides.items():
        figures[side] = min(run() for _ in range(arguments.rounds))
    figures["epoch, times faster"] = figures["epoch, cpu s"] / figures["epoch, s"]
    torch.set_num_threads(1)
    return figures


def shown(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return "-" if value is None else str(value)
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each model and side")
    parser.add_argument("--origins", type=int, default=5700, help="windows of an epoch")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="epochs, of which the best")
    parser.add_argument("--requests", type=int, default=400)
    arguments = parser.parse_args()
    silence()
    device = "cpu" if arguments.device == "cpu" else "cuda:0"
    label = "cpu" if device == "cpu" else torch.cuda.get_device_name()
    columns = {name: network(name, arguments, device) for name in MODELS}
    load = served(device, arguments.requests)
    columns["tft"] |= {
        "served, windows/s": load["windows"],
        "served, p50 ms": load["p50"],
        "served, ready s": load["ready"],
        "served, busy %": load["busy"],
        "served on": load["device"],
    }
    columns["xgboost"] = boosted(device, arguments.seconds)
    print(f"{label:<24}" + "".join(f"{name:>12}" for name in columns))
    for row in columns["tft"]:
        print(f"{row:<24}" + "".join(f"{shown(c.get(row)):>12}" for c in columns.values()))
    print(json.dumps({"benchmark": "gpu", "device": label, **columns}))


if __name__ == "__main__":
    main()
