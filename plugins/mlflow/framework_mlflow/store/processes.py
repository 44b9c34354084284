"""The process that an MLflow run belongs to, and whether it still lives."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

#: MLflow's tag of a run.
PROCESS = "framework.process"


@cache
def _boot() -> str:
    """The machine since it was started. In a container it is that of the host."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@cache
def _machine() -> str:
    """The machine and its numbering of processes: containers may share the name of a host."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{socket.gethostname()}/{numbering}"


def _begun(pid: int) -> str | None:
    """Read when a process began, in the kernel's ticks; None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def this_process() -> str:
    """Name this process so that no other has the name."""
    pid = os.getpid()
    return f"{_machine()} {_boot()} {pid} {_begun(pid)}"


def has_ended(process: str) -> bool:
    """Say whether a process has ended. Of another machine there is no saying: False."""
    try:
        host, boot, pid, begun = process.split(" ")
        known = host == _machine() and begun != "None" and boot
        return bool(known) and (boot != _boot() or _begun(int(pid)) != begun)
    except ValueError:
        return False
