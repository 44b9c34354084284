"""A pair forecasts where the configuration says, or a line says why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xgboost

from framework.data.arrays import Float64
from framework.data.vocabulary import CPU
from framework.data.windows import Windows
from framework.errors import ConfigError, FrameworkError, RefusedError
from framework.interfaces.model import Model
from framework.pairs.defects import named
from framework.pairs.devices import device_for, place
from framework.pairs.golden import ACROSS_DEVICES, replay
from framework.pairs.loading import open_proven
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.fakes import FakeModel, make_pair, make_schema
from framework.testing.folder_registry import FolderRegistry

PAIR, GOLDEN = make_pair(make_schema())


class OnGpu(FakeModel):
    """Sees ``count`` GPUs; there it answers ``share`` more than on the CPU."""

    count: int | None = 2
    share = 0.0
    device = "cpu"

    def gpus(self) -> int | None:
        return self.count

    def move(self, device: str) -> None:
        self.device = device

    def predict(self, windows: Windows) -> Float64:
        return super().predict(windows) * (1 + (self.share if self.device != "cpu" else 0))


def model_on(count: int | None, share: float = 0.0) -> OnGpu:
    """A model that answers as the fake pair's does, and sees ``count`` GPUs."""
    model = OnGpu(None)
    model.__dict__.update(PAIR.model.__dict__)
    model.count, model.share = count, share
    return model


@pytest.mark.parametrize(
    ("wanted", "count", "device"),
    [
        ("cpu", 2, "cpu"),
        ("auto", None, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda:0"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_model_is_moved_to_the_device_that_is_meant(
    wanted: str, count: int | None, device: str
) -> None:
    model = model_on(count)
    assert place(model, wanted, "serving.device") == device
    assert model.device == device


@pytest.mark.parametrize(
    ("wanted", "count", "why"),
    [
        ("cuda", None, "serving.device=cuda: OnGpu forecasts on the CPU only"),
        ("cuda", 0, "serving.device=cuda: no GPU is visible here"),
        ("cuda:2", 2, "serving.device=cuda:2: there are 2, the last is cuda:1"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(wanted: str, count: int | None, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        device_for(model_on(count), wanted, "serving.device")
    assert str(refused.value).startswith(why)
    assert "\n" not in str(refused.value)


def test_a_gpu_that_does_not_take_the_model_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def move(self: OnGpu, device: str) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy\nCompile with …")

    monkeypatch.setattr(OnGpu, "move", move)
    with pytest.raises(FrameworkError, match=r"OnGpu cannot be moved to cuda:0 .CUDA error: all"):
        place(model_on(1), "cuda", "serving.device")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 MiB"),
        xgboost.core.XGBoostError(
            "[12:00:00] device_vector.cu:23: Memory allocation error on worker 0: std::bad_alloc: "
            "cudaErrorMemoryAllocation: out of memory\n- Free memory: 1MB\n- Requested memory: 9GB"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "xgboost", "cublas"],
)
def test_a_full_gpu_is_one_line_in_a_forecast_and_in_a_fit(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_on(2)
    place(model, "cuda:1", "serving.device")
    pair = replace(PAIR, model=model)
    windows = pair.windows(GOLDEN.context)

    def full(self: OnGpu, windows: Windows) -> Float64:
        raise error

    monkeypatch.setattr(OnGpu, "predict", full)
    with pytest.raises(FrameworkError) as forecast:
        pair.predict(windows)
    with pytest.raises(FrameworkError) as fit, named("fit on 3 series", model):
        raise error
    for line, parts in (
        (str(forecast.value), ("model OnGpu: the memory of cuda:1 is full", "serving.device")),
        (str(fit.value), ("fit on 3 series: the memory of the GPU is full", "use the CPU")),
    ):
        assert all(part in line for part in parts), line
        assert "\n" not in line


def test_memory_of_the_machine_is_no_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: FakeModel, windows: Windows) -> Float64:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(FakeModel, "predict", full)
    with pytest.raises(MemoryError):
        PAIR.predict(PAIR.windows(GOLDEN.context))


def test_models_that_say_nothing_forecast_on_the_cpu_only() -> None:
    assert PAIR.model.gpus() is None
    assert Model.gpus(PAIR.model) is None


def test_a_registered_pair_is_opened_on_another_device_within_the_tolerance_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = FolderRegistry(tmp_path)
    registry.add(1)
    plugins, files = load_plugins(extra=[fakes]), registry.fetch(registry.resolve("fake", "1"))
    monkeypatch.setattr(FakeModel, "gpus", lambda self: 1)
    monkeypatch.setattr(FakeModel, "move", lambda self, device: setattr(self, "device", device))
    answer = FakeModel.predict

    def deviating(share: float) -> None:
        def predict(self: FakeModel, windows: Windows) -> Float64:
            return answer(self, windows) * (1 + share * (getattr(self, "device", CPU) != CPU))

        monkeypatch.setattr(FakeModel, "predict", predict)

    deviating(ACROSS_DEVICES / 2)
    assert open_proven(files, plugins, "cuda").device == "cuda:0"
    deviating(ACROSS_DEVICES * 3)
    with pytest.raises(RefusedError, match=r"differs by .* 0\.0001 allowed on cuda:0"):
        open_proven(files, plugins, "cuda")
    assert open_proven(files, plugins, "cpu").device == CPU


def test_the_golden_batch_allows_another_device_its_last_digits_and_no_more() -> None:
    for share, refused in ((ACROSS_DEVICES / 2, False), (ACROSS_DEVICES * 3, True)):
        model = model_on(1, share)
        device = place(model, "cuda", "device")
        pair = replace(PAIR, model=model)
        if refused:
            with pytest.raises(RefusedError, match="allowed on cuda:0"):
                replay(pair, GOLDEN, device)
            continue
        replay(pair, GOLDEN, device)
        with pytest.raises(RefusedError, match="allowed on cpu"):
            replay(pair, GOLDEN)  # on training's own device the same answer is wrong
