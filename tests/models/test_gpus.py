"""Which GPUs a process may use, and how busy they are. NVML is a fake here: no test machine has a
GPU.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.errors import ConfigError
from framework.models import gpus
from framework.models.gpus import (
    VISIBLE,
    GpuLoad,
    check_visible,
    load_of,
    visible_gpus,
    warn_once,
)


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


def test_the_load_is_the_drivers_or_a_line_says_why_there_is_none(nvml: FakeNvml) -> None:
    assert load_of("cuda:1") == GpuLoad("GPU-bb", 87.0, 3 << 30, 80 << 30)
    assert load_of("cuda:2") == "NVML does not say how busy GPU-bc is (the GPU is lost)"
    assert load_of("cuda:3") == "NVML lists 3 GPUs here, cuda:3 is not among them"
    assert nvml.users == 0


@pytest.mark.parametrize(
    ("device", "driver", "cuda", "why"),
    [
        ("cpu", False, False, None),
        ("auto", False, False, None),
        ("cuda", True, True, None),
        ("cuda:2", True, True, None),
        ("cuda:3", True, True, "x.device=cuda:3: there are 3, the last is cuda:2."),
        ("cuda", False, False, "x.device=cuda: no GPU is visible here"),
        ("cuda", False, True, None),  # the model's library will tell
    ],
)
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, device: str, driver: bool, cuda: bool, why: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(driver))  # type: ignore[arg-type]
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "_driver", lambda: cuda)
    if why is None:
        return check_visible(device, "x.device")
    with pytest.raises(ConfigError) as refused:
        check_visible(device, "x.device")
    assert str(refused.value).startswith(why)
    return None


def test_why_a_load_is_not_known_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        warn_once("NVML does not answer here (test)", "no figures")
    assert [r.message for r in caplog.records] == ["NVML does not answer here (test): no figures"]


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(driver=False))  # type: ignore[arg-type]
    assert visible_gpus() == ()
    assert load_of("cuda:0") == "NVML does not answer here (no driver)"


def test_the_metrics_name_the_gpus_that_pairs_forecast_on(nvml: FakeNvml) -> None:
    from framework.serving.http.metrics import Metrics

    metrics = Metrics()
    metrics.show_gpus([load_of("cuda:1"), load_of("cuda:2")])
    lines = metrics.render().decode().splitlines()
    assert 'framework_gpu_busy_percent{gpu="GPU-bb"} 87.0' in lines
    assert [line for line in lines if line.startswith("framework_gpu_memory_used_bytes{")] == [
        'framework_gpu_memory_used_bytes{gpu="GPU-bb"} 3.221225472e+09'
    ]


@pytest.mark.parametrize(("device", "busy"), [("cuda:1", True), ("cuda:2", False)])
def test_a_server_on_a_gpu_says_so_and_shows_what_nvml_says(
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    device: str,
    busy: bool,
) -> None:
    from framework.serving.options import ServingOptions
    from framework.serving.service import Service
    from framework.testing.fakes import FakeModel
    from framework.testing.servers.fake_server import make_deployment

    warn_once.cache_clear()
    monkeypatch.setattr(FakeModel, "gpus", lambda self: 3)
    monkeypatch.setattr(FakeModel, "move", lambda self, device: None)
    service = Service(make_deployment(tmp_path), ServingOptions(device=device))
    assert service.arms.table.primary.device == device
    line = 'framework_gpu_busy_percent{gpu="GPU-bb"} 87.0'
    assert (line in asyncio.run(service.figures()).decode().splitlines()) == busy
    reasons = [r.message for r in caplog.records if "NVML does not say" in r.message]
    assert len(reasons) == (0 if busy else 1)
    asyncio.run(service.close())
