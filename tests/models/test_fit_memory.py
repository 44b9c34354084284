"""What a model says that a fit takes is what it takes, within a factor of two."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Fits in a process of its own, so that nothing of another test is in its memory.
FIT = """
import importlib, sys, threading, time
import numpy as np
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, WindowSet
from framework.interfaces.model import FitSize
from framework.options import validate
from framework.plugins.discovery import load_plugins

name, options, series, days, horizon, columns, quantiles = eval(sys.argv[1])
plugins = load_plugins()
component = plugins.find("model", name)
for module in component.imports:  # the library is no part of a fit
    importlib.import_module(module)
model = plugins.load("model", name)(validate(component.options, options, "model"))
rows, draw = series * days, np.random.default_rng(0)
times = np.datetime64("2000-01-01", "us") + np.arange(days) * np.timedelta64(1, "D")
arrays = PanelArrays(
    np.arange(series + 1) * days,
    np.array([[str(i)] for i in range(series)], dtype=object),
    np.tile(times, series),
    draw.normal(5, 1, (rows, 1)),
    draw.normal(size=(rows, columns)).astype(np.float32),
    draw.normal(size=(rows, 3)).astype(np.float32),
    np.zeros((rows, 1), np.float32),
    tuple(f"f{i}" for i in range(columns)),
)
def windows(arrays, first):
    keep = (np.arange(len(arrays.times)) + 1 < arrays.series_ends()) & (arrays.times >= first)
    return WindowSet(arrays, np.flatnonzero(keep), 1, horizon)
train, later = windows(arrays.until(times[-50]), times[0]), windows(arrays, times[-50])
schema = Schema.model_construct(
    horizon=horizon, quantiles=quantiles, targets=("y",), context_length=1
)
size = FitSize(len(train), len(later), 1, horizon, columns, 3, 1, 1, len(quantiles))
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = peak = resident()
done = threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, resident())
watcher = threading.Thread(target=watch)
watcher.start()
model.fit(train, later, schema, 0)
done.set()
watcher.join()
print(model.memory(size), peak - before)
"""


@pytest.mark.stress
@pytest.mark.parametrize(
    ("name", "options", "quantiles"),
    [
        ("xgboost", {}, ()),
        ("xgboost", {"refit": False}, (0.1, 0.5, 0.9)),
        ("xgboost", {"origin_stride": 3}, ()),
        ("xgboost", {"tree_method": "approx"}, ()),
        ("lightgbm", {}, ()),
        ("lightgbm", {"early_stopping_rounds": None}, (0.1, 0.9)),
        ("lightgbm", {"origin_stride": 5}, ()),
    ],
)
def test_the_estimate_is_right_within_a_factor_of_two(
    name: str, options: dict[str, object], quantiles: tuple[float, ...]
) -> None:
    case = (name, {"n_estimators": 2, **options}, 20, 2000, 14, 30, quantiles)
    done = subprocess.run(
        [sys.executable, "-c", FIT, repr(case)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    estimate, peak = map(int, done.stdout.split())
    assert peak > 50 * 2**20
    assert 0.5 < estimate / peak < 2
