"""Forecasts of NLinear and TFT through the framework, beside the bare torch module with the same
weights on the same arrays.

    python benchmarks/torch_serving.py

One request and a batch of 100 entities. ``framework`` is the model half of a pair: scaling the
target, tensors, the module in float64, natural units again. ``module`` is the module that was
trained called on the same arrays by hand: tensors from the arrays as they are, no scaling, nothing
brought back, in float64 and in float32. ``darts`` is Darts' own ``predict`` on ``TimeSeries`` that
are there already. Float64 costs arithmetic and buys that a window's forecast has the same bits
alone and in a batch. The sides take turns in one process with one thread; figures are medians.
Prints a table and, last, a JSON summary with the ratios to the float64 module.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from darts import TimeSeries
from darts.models import NLinearModel, TFTModel
from darts.utils.data.torch_datasets.utils import PLModuleInput
from darts.utils.likelihood_models.torch import QuantileRegression
from framework_darts import NLinearOptions, TFTOptions
from framework_darts.adapter import DartsModel
from framework_darts.models import TFT, NLinear
from framework_darts.modules import build

from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet

SERIES, STEPS, LENGTH, HORIZON, PAST, FUTURE, STATIC = 100, 120, 56, 7, 8, 6, 2
QUANTILES = (0.1, 0.9)
MODELS: dict[str, tuple[type[DartsModel], Any, Any]] = {
    "nlinear": (NLinear, NLinearOptions, NLinearModel),
    "tft": (TFT, TFTOptions, TFTModel),
}


def windows_of(generator: np.random.Generator) -> WindowSet:
    """The newest window of each series that has its horizon after it."""
    rows = SERIES * STEPS

    def numbers(width: int) -> Any:
        return generator.normal(size=(rows, width)).astype(np.float32)

    static = np.repeat(generator.normal(size=(SERIES, STATIC)).astype(np.float32), STEPS, axis=0)
    offsets = np.arange(SERIES + 1) * STEPS
    entities = np.array([[f"s{i}"] for i in range(SERIES)], dtype=object)
    times = np.tile(
        np.datetime64("2024-01-01", "us") + np.arange(STEPS) * np.timedelta64(1, "D"), SERIES
    )
    target = generator.normal(100, 10, (rows, 1))
    names = tuple(f"p{i}" for i in range(PAST))
    arrays = PanelArrays(
        offsets, entities, times, target, numbers(PAST), numbers(FUTURE), static, names
    )
    return WindowSet(arrays, offsets[1:] - HORIZON - 1, LENGTH, HORIZON)


def fitted(name: str, given: WindowSet) -> tuple[DartsModel, Schema]:
    """After one epoch: the weights do not matter, that all sides have the same does."""
    schema = Schema(
        name="torch_serving",
        entity_keys=("k",),
        frequency="D",
        targets=("y",),
        past=("y",),
        nullable=(),
        known=(),
        static=("k",),
        horizon=HORIZON,
        context_length=LENGTH,
        quantiles=QUANTILES,
    )
    kind, options, _ = MODELS[name]
    model = kind(options(n_epochs=1))
    model.fit(given, None, schema, 0)
    return model, schema


def bare(
    model: DartsModel, windows: Windows, dtype: torch.dtype, device: str = "cpu"
) -> Callable[[], np.ndarray]:
    network = model._network
    module = build(model.library, network.sizes, model._architecture(network.sizes))
    module.load_state_dict(network.module.state_dict())
    module = module.to(device, dtype).eval()

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=dtype, device=device)

    def call() -> np.ndarray:
        n = len(windows)
        with torch.inference_mode():
            given = PLModuleInput(
                past_target=tensor(windows.target_past),
                past_covariates=tensor(windows.past),
                historic_future_covariates=torch.zeros(
                    n, LENGTH, FUTURE, dtype=dtype, device=device
                ),
                future_covariates=tensor(windows.future),
                static_covariates=tensor(windows.static[:, None, :]),
            )
            found: np.ndarray = module(given).prediction.cpu().numpy()
            return found

    return call


def own(name: str, windows: Windows) -> Callable[[], Any]:
    """Darts' predict. Its weights are its own: what is compared is time, the numbers are compared
    in the plugin's tests.
    """
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    forecaster = MODELS[name][2](
        input_chunk_length=LENGTH,
        output_chunk_length=HORIZON,
        n_epochs=1,
        likelihood=QuantileRegression([0.1, 0.5, 0.9]),
        **({"normalize": False} if name == "nlinear" else {}),
        pl_trainer_kwargs={"accelerator": "cpu", **quiet},
    )

    def series(values: np.ndarray, static: np.ndarray | None = None) -> TimeSeries:
        made = TimeSeries.from_values(values.astype(np.float32))
        if static is None:
            return made
        import pandas as pd

        return made.with_static_covariates(
            pd.DataFrame(static[None], columns=[f"s{i}" for i in range(STATIC)])
        )

    future = np.concatenate(
        [np.zeros((len(windows), LENGTH, FUTURE), np.float32), windows.future], axis=1
    )
    given: dict[str, list[TimeSeries]] = {
        "series": [series(y, s) for y, s in zip(windows.target_past, windows.static, strict=True)],
        "past_covariates": [series(values) for values in windows.past],
        "future_covariates": [series(values) for values in future],
    }
    longer = np.concatenate([windows.target_past[0], windows.target_past[0][:HORIZON]])
    forecaster.fit(
        series(longer, windows.static[0]),
        past_covariates=series(np.concatenate([windows.past[0], windows.past[0][:HORIZON]])),
        future_covariates=given["future_covariates"][0],
    )
    return lambda: forecaster.predict(
        HORIZON, **given, predict_likelihood_parameters=True, show_warnings=False, verbose=False
    )


def medians(sides: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Milliseconds of a call, of each side. The sides take turns until the time is over."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for call in sides.values():
        call()
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        for side, call in sides.items():
            for _ in range(1 if side == "darts" else 10):
                started = time.perf_counter()
                call()
                taken[side].append((time.perf_counter() - started) * 1e3)
    return {side: statistics.median(values) for side, values in taken.items()}


def silence() -> None:
    """Keep what the libraries say out of the table."""
    warnings.simplefilter("ignore")
    for library in ("pytorch_lightning", "lightning", "darts"):
        logging.getLogger(library).setLevel(logging.ERROR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each model and size")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    silence()
    given = windows_of(np.random.default_rng(0))
    summary: dict[str, float] = {}
    print(
        f"{'model':>8} {'entities':>9} {'framework ms':>13} {'module f64':>11} "
        f"{'module f32':>11} {'darts':>9} {'ratio f64':>10} {'f32':>6}"
    )
    for name in arguments.models:
        model, _ = fitted(name, given)
        for count in (1, SERIES):
            windows = given.gather().part(0, count)
            found = medians(
                {
                    "framework": lambda m=model, w=windows: m.predict(w),
                    "f64": bare(model, windows, torch.float64),
                    "f32": bare(model, windows, torch.float32),
                    "darts": own(name, windows),
                },
                arguments.seconds,
            )
            ratio, single = found["framework"] / found["f64"], found["framework"] / found["f32"]
            summary[f"{name}_{count}"] = round(ratio, 3)
            cells = (
                f"{found['framework']:>13.3f} {found['f64']:>11.3f} {found['f32']:>11.3f} "
                f"{found['darts']:>9.2f}"
            )
            print(f"{name:>8} {count:>9} {cells} {ratio:>10.2f} {single:>6.2f}", flush=True)
    print(json.dumps({"benchmark": "torch_serving", "ratios_to_the_bare_module": summary}))


if __name__ == "__main__":
    main()
