"""The GPUs that this process may use, and how busy they are, by NVML.

NVML is NVIDIA's management library; ``nvidia-ml-py`` calls it. A machine without its driver has no
GPU here, and nothing is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: What CUDA reads: the GPUs of a process, in its order; a worker of Ray has its own.
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """``busy``: per cent of the driver's last sample period in which a kernel ran.
    ``memory_used`` and ``memory_total``: bytes, of all processes.
    """

    busy: float
    memory_used: int
    memory_total: int


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, or None where there is no driver. An extra costs nothing: NVML counts its users."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no library, no driver, no permission: no GPU for this process
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def visible_gpus() -> tuple[str, ...]:
    """Find the GPUs that CUDA shows to this process, without making CUDA start.

    Returns:
        The NVML identifier of ``cuda:0``, ``cuda:1``, and so on: empty without a driver or a GPU.
        As CUDA does, it stops at the first entry of ``CUDA_VISIBLE_DEVICES`` that names no GPU.
        Numbers there are taken in the order of the PCI bus: where GPUs differ, set
        ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    with _nvml() as nvml:
        if nvml is None:
            return ()
        present = [
            str(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(number)))
            for number in range(nvml.nvmlDeviceGetCount())
        ]
    value = os.environ.get(VISIBLE)
    if value is None:
        return tuple(present)
    visible: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.startswith("MIG-"):  # a part of a GPU, which NVML does not list among them
            visible.append(entry)
            continue
        if entry.isdecimal() and int(entry) < len(present):
            visible.append(present[int(entry)])
            continue
        matches = [uuid for uuid in present if entry and uuid.startswith(entry)]
        if len(matches) != 1:
            break
        visible.append(matches[0])
    return tuple(visible)


def load_of(gpu: str) -> GpuLoad | None:
    """Read how busy a GPU is.

    Args:
        gpu: One of :func:`visible_gpus`.

    Returns:
        The load; None where the driver does not say.
    """
    with _nvml() as nvml:
        if nvml is None:
            return None
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(gpu)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError:  # a GPU that fell off the bus, or a part of one (MIG)
            return None
    return GpuLoad(float(busy), int(memory.used), int(memory.total))
