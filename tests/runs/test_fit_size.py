"""Before a fit begins, what it learns from and takes is said, and what does not fit is refused."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from framework.data.scratch import IN_MEMORY, Scratch
from framework.errors import ConfigError
from framework.interfaces.model import FitSize
from framework.options import validate
from framework.plugins.discovery import load_plugins
from framework.runs.steps.control_groups import free_memory
from framework.runs.steps.disk_space import check_disk
from framework.runs.steps.fit_size import FitPlan, check_memory, describe, files_of

SIZE = FitSize(3_000_000, 10_000, 28, 14, 5, 2, 3, 1, 3)
GIB = 2**30


def plan(name: str, **options: object) -> FitPlan:
    plugins = load_plugins()
    component = plugins.find("model", name)
    model = plugins.load("model", name)(validate(component.options, options, "model"))
    return FitPlan(name, model, SIZE, GIB, 1, 7)


def test_windows_memory_and_a_stride_are_said_in_one_line() -> None:
    line = describe(plan("lightgbm", origin_stride=2), 20 * GIB)
    assert line.startswith(
        "model=lightgbm: the last fit has 1,510,000 windows of 28 steps back and 14 ahead to learn "
        "from, about "
    )
    assert "GB of memory (20.0 GB is free); model.origin_stride=3 would take 1,000,000 and" in line
    assert "\n" not in line


def test_a_sample_is_counted_and_takes_less() -> None:
    sample = plan("xgboost", most_windows=1_000)
    assert "the last fit has 11,000 windows" in describe(sample, 20 * GIB)
    assert (sample.memory() or 0) < (plan("xgboost").memory() or 0) / 2


def test_a_model_that_does_not_know_says_only_its_windows() -> None:
    assert describe(plan("seasonal_naive"), 20 * GIB).endswith("to learn from")


def test_what_does_not_fit_is_refused_with_a_stride_that_does() -> None:
    big = plan("lightgbm")
    with pytest.raises(ConfigError) as refusal:
        check_memory(big, 8 * GIB)
    words = str(refusal.value)
    stride = int(words.split("model.origin_stride=")[1].split(maxsplit=1)[0])
    assert stride % 7
    smaller = plan("lightgbm", origin_stride=stride)
    assert (smaller.memory() or 0) < 8 * GIB
    check_memory(smaller, 8 * GIB)
    with pytest.raises(ConfigError, match=r"compute\.workers=1 makes one of the 4 fits at a time"):
        check_memory(replace(smaller, fits=4), 8 * GIB)
    check_memory(big, None)


def test_an_ensemble_counts_each_member_with_its_own_window() -> None:
    """The long window of one member is no part of the table of another."""
    trees = plan("lightgbm")
    assert trees.memory() is not None
    members = {
        "trees": {"name": "lightgbm"},
        "year": {"name": "seasonal_mean", "season_length": 365, "context_length": 1460},
    }
    both = plan("ensemble", season_length=7, members=members)
    one, long = replace(SIZE, context_length=1), replace(SIZE, context_length=1460)
    assert replace(both, size=long).memory() == replace(trees, size=one).memory()


def test_a_model_that_fits_when_it_is_asked_counts_the_fit_of_a_window() -> None:
    def of(name: str, **options: object) -> FitPlan:
        long = replace(SIZE, context_length=2000)
        return replace(plan(name, **options), size=long, rows=0)

    check_memory(of("auto_ets", season_length=168), GIB // 10)
    check_memory(of("auto_arima", season_length=24), GIB // 10)
    weekly = of("auto_arima", season_length=168)
    assert "about 12.8 GB of memory (20.0 GB is free)" in describe(weekly, 20 * GIB)
    with pytest.raises(ConfigError, match=r"a shorter model\.season_length takes less"):
        check_memory(weekly, 8 * GIB)
    check_memory(of("auto_arima", season_length=168, max_P=1, max_Q=1), GIB)


@pytest.mark.parametrize("mapped", [True, False])
def test_files_that_the_disk_has_no_room_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    state, temporary = tmp_path / "state", tmp_path / "temporary"
    for folder in (state, temporary):
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    fit = replace(plan("xgboost", external_memory=True), files=GIB if mapped else 0, fits=2)
    bins = 2 * fit.model.disk(SIZE)
    assert bins > 10 * GIB
    needs = files_of(fit, Scratch(state) if mapped else IN_MEMORY)
    assert sum(need.size for need in needs) == bins + 2 * fit.files
    assert {need.folder for need in needs} == {state if mapped else temporary}
    run = SimpleNamespace(config=SimpleNamespace(run="train"))
    free = SimpleNamespace(free=bins + 2 * fit.files)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    check_disk(run, needs)  # type: ignore[arg-type]
    free.free -= 1
    words = "what model=xgboost learns from of 2 fits at a time"
    setting = "paths.state" if mapped else "TMPDIR"
    with pytest.raises(
        ConfigError,
        match=rf"{setting}: the disk of .* GB free, .*{words}\); make room, or set {setting}",
    ):
        check_disk(run, needs)  # type: ignore[arg-type]
    assert files_of(plan("xgboost"), IN_MEMORY) == []


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4 kB\nSwapFree: 1 kB"}, 5 * 1024),
        (
            {
                "proc/meminfo": "MemAvailable: 4 kB",
                "proc/self/cgroup": "0::/pod/app",
                "sys/fs/cgroup/pod/memory.max": "3000",
                "sys/fs/cgroup/pod/memory.current": "2500",
                "sys/fs/cgroup/pod/memory.stat": "anon 9\ninactive_file 300\nactive_file 100",
                "sys/fs/cgroup/pod/app/memory.max": "max",
            },
            900,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/pod",
                "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": "3000",
                "sys/fs/cgroup/memory/pod/memory.usage_in_bytes": "3500",
            },
            0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/pod",
                "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": "3000",
                "sys/fs/cgroup/memory/pod/memory.usage_in_bytes": "2500",
                "sys/fs/cgroup/memory/pod/memory.stat": "active_file 1\n"
                "total_active_file 30\ntotal_inactive_file 50",
            },
            580,
        ),
    ],
)
def test_free_memory_is_that_of_the_machine_or_the_container(
    tmp_path: Path, files: dict[str, str], free: int | None
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert free_memory(tmp_path) == free
