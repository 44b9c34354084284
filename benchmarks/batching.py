"""What one call of a pair for many requests saves, by model: milliseconds of preprocessing and
predicting 1, 4, 16 and 64 windows.

    python benchmarks/batching.py [--models xgboost lightgbm …] [--rounds 30]

Small panels of two series, models of usual sizes; medians. The answers of a call are checked to be
the bits of calls for one window each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from framework.pairs.fit import fit_pair
from framework.pairs.pair import Pair
from framework.plugins.discovery import load_plugins
from framework.testing.panels import make_panel, panel_schema

MODELS: dict[str, dict[str, Any]] = {
    "xgboost": {"n_estimators": 100, "n_jobs": 1},
    "lightgbm": {"n_estimators": 100, "n_jobs": 1},
    "nlinear": {"input_chunk_length": 28, "n_epochs": 1},
    "tft": {
        "input_chunk_length": 28,
        "n_epochs": 1,
        "batch_size": 128,
        "hidden_size": 16,
        "num_attention_heads": 4,
    },
    "auto_theta": {"season_length": 7, "context_length": 28, "model": "STM"},
    "seasonal_naive": {"season_length": 7},
}
SIZES = (1, 4, 16, 64)


def make_pair(name: str) -> tuple[Pair, Any]:
    """A fitted pair, and a context of 64 windows."""
    plugins, panel = load_plugins(), make_panel(series=2)

    def component(kind: Any, which: str, options: dict[str, Any]) -> Any:
        return plugins.load(kind, which)(plugins.find(kind, which).options.model_validate(options))

    preprocessor = component(
        "preprocessor", "native", {"past": [{"step": "impute"}, {"step": "scale"}]}
    )
    model = component("model", name, MODELS[name])
    quantiles = (0.1, 0.9) if model.supports_quantiles else ()
    schema = panel_schema(panel, context_length=model.context_length(7), quantiles=quantiles)
    pair = fit_pair(panel, schema, preprocessor, model, 14, 7)
    context = panel.context(
        schema, panel.entities, panel.times.max() - np.timedelta64(schema.horizon, "D")
    )
    return pair, context.take(np.arange(max(SIZES)) % len(context))


def measure(name: str, rounds: int) -> dict[int, float]:
    pair, context = make_pair(name)
    parts = {n: context.take(np.arange(n)) for n in SIZES}
    together = pair.predict(pair.windows(parts[64]))
    for i in range(4):
        assert (
            pair.predict(pair.windows(context.take(np.array([i]))))[0].tobytes()
            == together[i].tobytes()
        ), name
    seconds: dict[int, list[float]] = {n: [] for n in SIZES}
    for _ in range(rounds):
        for n, part in parts.items():
            start = time.perf_counter()
            pair.predict(pair.windows(part))
            seconds[n].append(1e3 * (time.perf_counter() - start))
    return {n: statistics.median(found) for n, found in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    print(
        f"{'model':<16}"
        + "".join(f"{f'{n} windows':>12}" for n in SIZES)
        + f"{'16 alone/together':>20}"
    )
    gains = {}
    for name in given.models:
        found = measure(name, given.rounds)
        gains[name] = 16 * found[1] / found[16]
        print(
            f"{name:<16}"
            + "".join(f"{found[n]:>9.2f} ms" for n in SIZES)
            + f"{gains[name]:>18.1f} x",
            flush=True,
        )
    print(
        "16 requests alone take, beside one call: "
        + ", ".join(f"{gain:.1f} x {name}" for name, gain in gains.items())
    )


if __name__ == "__main__":
    main()
