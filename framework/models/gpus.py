"""The GPUs that this process may use, and how busy they are, by NVML.

NVML is NVIDIA's management library; ``nvidia-ml-py`` calls it. It does not make CUDA start, so a
process that has asked it may still be copied. Where NVML does not answer, the reason is a line.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from framework.errors import ConfigError

log = logging.getLogger(__name__)

#: What CUDA reads: the GPUs of a process, in its order; a worker of Ray has its own.
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """``gpu``: its NVML identifier. ``busy``: per cent of the driver's last sample period in which
    a kernel ran. ``memory_used`` and ``memory_total``: bytes, of all processes.
    """

    gpu: str
    busy: float
    memory_used: int
    memory_total: int


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, or the line that says why it does not answer. An extra costs nothing: NVML counts its
    users.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:  # no library, no driver, no permission
        yield f"NVML does not answer here ({error})"
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
        return () if isinstance(nvml, str) else _visible(nvml)


def _visible(nvml: Any) -> tuple[str, ...]:
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


def check_visible(device: str, key: str, instead: str = "cpu, or auto") -> None:
    """Check that a GPU which is asked for is there, before anything is read or opened.

    A model may still be unable to use it. Where NVML does not answer although CUDA's driver is
    installed, that is left to the model's library.

    Args:
        device: ``cpu``, ``auto``, ``cuda`` (the first GPU) or ``cuda:N``.
        key: The option that asks, for the message.
        instead: The values that need no GPU, for the message.

    Raises:
        ConfigError: There is no GPU, or none of that number.
    """
    if not device.startswith("cuda"):
        return
    count = count_visible()
    if count is not None:
        refuse_beyond(count, device, key, instead)


def count_visible() -> int | None:
    """Count the GPUs of this process, without making CUDA start.

    Returns:
        How many; None where NVML does not answer although CUDA's driver is installed.
    """
    with _nvml() as nvml:
        if not isinstance(nvml, str):
            return len(_visible(nvml))
    return None if _driver() else 0


def refuse_beyond(count: int, device: str, key: str, instead: str = "cpu, or auto") -> None:
    """Refuse a GPU that is not among those of this process.

    Args:
        count: How many it has.
        device: ``cuda`` or ``cuda:N``.
        key: The option that asks, for the message.
        instead: The values that need no GPU, for the message.

    Raises:
        ConfigError: It is not among them.
    """
    if not count:
        raise ConfigError(
            f"{key}={device}: no GPU is visible here (driver, CUDA_VISIBLE_DEVICES); use "
            f"{key}={instead}."
        )
    if int(device.partition(":")[2] or 0) >= count:
        raise ConfigError(f"{key}={device}: there are {count}, the last is cuda:{count - 1}.")


def _driver() -> bool:
    """Say whether CUDA's driver is installed. It is not made to start."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def load_of(device: str) -> GpuLoad | str:
    """Read how busy a GPU of this process is.

    Args:
        device: ``cuda:N``.

    Returns:
        The load, or one line that says why there is none.
    """
    with _nvml() as nvml:
        if isinstance(nvml, str):
            return nvml
        visible, number = _visible(nvml), int(device.partition(":")[2])
        if number >= len(visible):
            return f"NVML lists {len(visible)} GPUs here, {device} is not among them"
        gpu = visible[number]
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(gpu)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError as error:  # a GPU that fell off the bus, or a part of one (MIG)
            return f"NVML does not say how busy {gpu} is ({error})"
    return GpuLoad(gpu, float(busy), int(memory.used), int(memory.total))


@cache
def warn_once(line: str, consequence: str) -> None:
    """Log, once in this process, why the load of a GPU is not known.

    Args:
        line: As :func:`load_of` says it.
        consequence: What is missing without it.
    """
    log.warning("%s: %s", line, consequence)
