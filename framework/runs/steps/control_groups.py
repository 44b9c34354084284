"""The limits of the control groups of this process, such as those of a container, and the memory
that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def cpu_quota(root: Path = Path("/")) -> int | None:
    """Return the whole cores that the control groups of this process allow, at least 1; None for
    any number.
    """
    quotas = [quota for folder, second in _folders(root, "cpu") for quota in _cpu(folder, second)]
    return max(1, -(-min(quotas) // 1_000_000)) if quotas else None


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still take, of the machine and of its control groups;
    None where nothing says so.

    Memory that only holds files that can be read again counts as free.
    """
    sizes = [
        size for folder, second in _folders(root, "memory") for size in _memory(folder, second)
    ]
    machine = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in machine:
        sizes.append(1024 * (machine["MemAvailable:"] + machine.get("SwapFree:", 0)))
    return max(0, min(sizes)) if sizes else None


def _folders(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """The groups of this process and those above them; whether they are of the second version."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        second = not controllers
        if not second and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup"
        place = base if second else base / controller
        own = place / group.strip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(place):
                break
            yield folder, second


def _cpu(folder: Path, second: bool) -> Iterator[int]:
    """Millionths of a core."""
    if second:
        parts = (_read(folder / "cpu.max") or "max 0").split()
    else:
        parts = [_read(folder / f"cpu.cfs_{name}_us") or "-1" for name in ("quota", "period")]
    if parts[0].strip().isdigit() and int(parts[1]) > 0:
        yield int(parts[0]) * 1_000_000 // int(parts[1])


def _memory(folder: Path, second: bool) -> Iterator[int]:
    """Bytes below the limit of a group."""
    names = ("max", "current") if second else ("limit_in_bytes", "usage_in_bytes")
    limit, usage = (_read(folder / f"memory.{name}") or "" for name in names)
    if limit.isdigit() and usage.isdigit():
        numbers = _numbers(folder / "memory.stat")
        # the first version counts the groups below apart, as total_; their use is in usage
        files = sum(
            numbers.get(f"total_{kind}", numbers.get(kind, 0))
            for kind in ("active_file", "inactive_file")
        )
        yield int(limit) - int(usage) + files


def _numbers(path: Path) -> dict[str, int]:
    """The lines of a name and a number."""
    parts = [line.split() for line in (_read(path) or "").splitlines()]
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()}


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
