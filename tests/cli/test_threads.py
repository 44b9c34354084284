"""The quota of a container decides how many threads the numeric libraries start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from framework.cli.threads import limit_threads
from framework.runs.steps.control_groups import cpu_quota


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V2 = {"proc/self/cgroup": "0::/pod/app"}
V1 = {"proc/self/cgroup": "3:cpuset:/x\n4:cpu,cpuacct:/pod"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({**V2, "sys/fs/cgroup/pod/app/cpu.max": "max 100000"}, None),
        ({**V2, "sys/fs/cgroup/pod/app/cpu.max": "200000 100000"}, 2),
        ({**V2, "sys/fs/cgroup/pod/app/cpu.max": "150000 100000"}, 2),
        ({**V2, "sys/fs/cgroup/pod/app/cpu.max": "5000 100000"}, 1),
        (
            {
                **V2,
                "sys/fs/cgroup/pod/app/cpu.max": "400000 100000",
                "sys/fs/cgroup/pod/cpu.max": "300000 100000",
            },
            3,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_a_quota_is_whole_cores(tmp_path: Path, files: dict[str, str], cores: int | None) -> None:
    assert cpu_quota(write(tmp_path, files)) == cores


PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


def test_threads_are_limited_below_the_machines_cores_and_never_set_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    root = write(tmp_path, {**V2, "sys/fs/cgroup/pod/app/cpu.max": "200000 100000"})
    environ: dict[str, str] = {}
    limit_threads(environ, root)
    assert environ == {**PASSIVE, "OMP_NUM_THREADS": "2"}
    limit_threads(environ := {"OMP_NUM_THREADS": "5"}, root)
    assert environ == {**PASSIVE, "OMP_NUM_THREADS": "5"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    limit_threads(environ := {}, root)
    assert environ == PASSIVE
    limit_threads(environ := {"OMP_WAIT_POLICY": "ACTIVE"}, root)
    assert environ == {"OMP_WAIT_POLICY": "ACTIVE"}
