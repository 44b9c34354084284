"""What training sees, and how much of it at a time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from framework_darts import NLinearOptions
from pydantic import ValidationError

from framework.data.windows import WindowSet
from framework.errors import ConfigError, DataError
from framework.testing.panels import make_panel, plain_arrays

LENGTH, HORIZON = 14, 3
PARTS = (
    "past_covariates",
    "historic_future_covariates",
    "future_covariates",
    "static_covariates",
)


def make_windows(holes: float) -> WindowSet:
    """Windows at every third row, short of the end of a series too; ``holes``: the share of values
    that are not known.
    """
    arrays = plain_arrays(make_panel(series=4, days=60), 2)
    rng = np.random.default_rng(0)
    target, past = arrays.target.copy(), arrays.past.copy()
    target[rng.random(target.shape) < holes] = np.nan
    past[rng.random(past.shape) < holes] = np.nan
    if holes:
        target[:LENGTH] = np.nan  # a window without any value
    starts, ends = arrays.offsets[:-1], arrays.offsets[1:]
    origins = np.concatenate(
        [np.arange(a + LENGTH - 1, b - 1, 3) for a, b in zip(starts, ends, strict=True)]
    )
    return WindowSet(replace(arrays, target=target, past=past), origins, LENGTH, HORIZON)


@pytest.mark.parametrize("scaling", ["instance", "global", "none"])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_a_batch_has_the_bits_that_a_server_would_see(scaling: Any, holes: float) -> None:
    import torch
    from framework_darts.feed import Feed, _usable
    from framework_darts.modules import Sizes, inputs
    from framework_darts.scaling import FeatureScaler, TargetScaler

    windows, cpu = make_windows(holes), torch.device("cpu")
    arrays = windows.arrays
    widths = {part: getattr(arrays, part).shape[1] for part in ("past", "future", "static")}
    sizes = Sizes(LENGTH, HORIZON, 2, outputs=3, **widths)
    scaler = TargetScaler.fit(arrays.target, scaling, last=scaling == "instance")
    features = {part: FeatureScaler.fit(getattr(arrays, part)) for part in widths if widths[part]}
    feed = Feed(windows, scaler, features, sizes, cpu)
    chosen = _usable(windows)
    assert len(feed) == len(chosen) > 40
    order = np.random.default_rng(1).permutation(len(feed))
    given, target = feed.batch(torch.from_numpy(order))
    batch = WindowSet(arrays, chosen.origins[order], LENGTH, HORIZON).gather()
    scaled, centre, size = scaler.apply(batch.target_past)
    scales = {part: scaler.on(cpu) for part, scaler in features.items()}
    served = inputs(batch, scaled, scales, sizes, cpu, torch.float32)
    assert batch.target is not None
    expected = torch.as_tensor((batch.target - centre) / size, dtype=torch.float32)
    assert torch.equal(torch.isnan(target), torch.isnan(expected))
    assert torch.equal(torch.nan_to_num(target), torch.nan_to_num(expected))
    for part in ("past_target", *PARTS):
        mine, theirs = getattr(given, part), getattr(served, part)
        assert torch.equal(mine, theirs.expand(mine.shape))
        assert not torch.isnan(mine).any()


@pytest.mark.parametrize(
    ("windows", "asked", "size"),
    [
        (10, None, 32),
        (6_399, None, 32),
        (6_400, None, 64),
        (23_500, None, 128),
        (10_000_000, None, 512),
        (23_500, 48, 48),
    ],
)
def test_the_batch_size_is_by_the_data_unless_it_is_asked_for(
    windows: int, asked: int | None, size: int
) -> None:
    from framework_darts.training import batch_size_of

    assert batch_size_of(NLinearOptions(batch_size=asked), windows) == size


def test_a_precision_that_the_device_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from framework_darts.training import check_device

    with pytest.raises(ValidationError, match="16-mixed needs a GPU, accelerator is cpu"):
        NLinearOptions(precision="16-mixed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.precision=16-mixed: it needs a GPU"):
        check_device(NLinearOptions(precision="16-mixed", accelerator="auto"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.precision=bf16-mixed: this GPU has no bfloat16"):
        check_device(NLinearOptions(precision="bf16-mixed", accelerator="auto"))
    assert check_device(NLinearOptions(precision="16-mixed", accelerator="auto")).type == "cuda"


def test_windows_without_a_known_step_are_nothing_to_learn_from() -> None:
    import torch
    from framework_darts.modules import Sizes
    from framework_darts.scaling import TargetScaler
    from framework_darts.training import train

    windows = make_windows(0.0)
    nothing = replace(windows.arrays, target=np.full_like(windows.arrays.target, np.nan))
    windows, sizes = replace(windows, arrays=nothing), Sizes(LENGTH, HORIZON, 2, 0, 0, 0, 1)
    scaler = TargetScaler.fit(nothing.target, "instance", last=False)
    with pytest.raises(DataError, match="no training window has a known target step"):
        train(torch.nn.Linear(1, 1), sizes, scaler, {}, NLinearOptions(), (), windows, None, 0)


@pytest.mark.stress
def test_what_workers_import_before_they_are_copied_leaves_cuda_alone() -> None:
    """A process that has asked CUDA cannot be copied into one that uses it."""
    code = (
        "import importlib, sys, torch.cuda as cuda\n"
        "from framework_darts import components\n"
        "def asked(*_): sys.exit('CUDA was asked')\n"
        "cuda.is_available = cuda.device_count = cuda.init = cuda._lazy_init = asked\n"
        "for module in components()[0].imports: importlib.import_module(module)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
