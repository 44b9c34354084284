"""Which GPUs a process may use, and how busy they are. NVML is a fake here: no test machine has a
GPU.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from framework.models.gpus import VISIBLE, GpuLoad, load_of, visible_gpus


class FakeNvml:
    """``nvidia-ml-py`` on a machine with three GPUs, of which the last does not answer."""

    class NVMLError(Exception):
        pass

    uuids = ("GPU-aa", "GPU-bb", "GPU-bc")

    def __init__(self, driver: bool = True) -> None:
        self._driver, self.users = driver, 0

    def nvmlInit(self) -> None:  # noqa: N802
        if not self._driver:
            raise self.NVMLError("no driver")
        self.users += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> str:  # noqa: N802
        return self.uuids[number]

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetHandleByUUID(self, gpu: str) -> str:  # noqa: N802
        return gpu

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=3 << 30, total=80 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        if handle == "GPU-bc":
            raise self.NVMLError("the GPU is lost")
        return SimpleNamespace(gpu=87, memory=12)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    monkeypatch.delenv(VISIBLE, raising=False)
    return fake


@pytest.mark.parametrize(
    ("listed", "visible"),
    [
        (None, ("GPU-aa", "GPU-bb", "GPU-bc")),
        ("", ()),
        ("-1", ()),
        ("2,0", ("GPU-bc", "GPU-aa")),
        ("1,7,0", ("GPU-bb",)),
        ("GPU-bb", ("GPU-bb",)),
        ("GPU-a,GPU-b", ("GPU-aa",)),
        ("MIG-1234", ("MIG-1234",)),
    ],
)
def test_gpus_are_those_that_cuda_shows_in_its_order(
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
    listed: str | None,
    visible: tuple[str, ...],
) -> None:
    if listed is not None:
        monkeypatch.setenv(VISIBLE, listed)
    assert visible_gpus() == visible
    assert nvml.users == 0


def test_the_load_is_the_drivers(nvml: FakeNvml) -> None:
    assert load_of("GPU-bb") == GpuLoad(87.0, 3 << 30, 80 << 30)
    assert load_of("GPU-bc") is None
    assert nvml.users == 0


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(driver=False))  # type: ignore[arg-type]
    assert visible_gpus() == ()
    assert load_of("GPU-aa") is None


def test_the_metrics_name_the_gpus_that_pairs_forecast_on(nvml: FakeNvml) -> None:
    from framework.serving.http.metrics import Metrics

    metrics = Metrics()
    metrics.show_gpus(["cpu", "cuda:1", "cuda:2"])
    lines = metrics.render().decode().splitlines()
    assert 'framework_gpu_busy_percent{gpu="GPU-bb"} 87.0' in lines
    assert [line for line in lines if line.startswith("framework_gpu_memory_used_bytes{")] == [
        'framework_gpu_memory_used_bytes{gpu="GPU-bb"} 3.221225472e+09'
    ]
