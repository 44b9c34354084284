"""The memory that the rows of a store take, estimated before they are read: whether they are kept
in memory or in files. Rows that do not fit are refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from framework.config.config import Config
from framework.data.scratch import IN_MEMORY, Scratch
from framework.errors import ConfigError
from framework.interfaces.compute import Compute
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.stored_panel import PART
from framework.runs.steps.control_groups import free_memory
from framework.runs.steps.disk_space import DiskNeed, check_disk, temporary_need

#: Bytes of a row beside its columns while it is read and while it is learned from: numbers of
#: series, steps and rows, as measured at 10,950,000 rows.
_READING, _LEARNING = 72, 48
#: The same of a panel in files: which rows are chosen, and what their months are.
_CHOOSING = 8
#: Bytes that the libraries which read a part keep, as measured at 2,920,000 rows.
_READERS = 300 * 2**20
#: The share of the free memory from which on a panel is kept in files.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The rows that are in memory at the same time.

    ``rows``: those of the primary view. ``panel``: bytes of each in the panel; ``texts``: those of
    them that are in memory while a preprocessor learns from them, wherever the panel is.
    ``copies``: how many panels there are, for the versions of a backtest as well. ``learned``:
    bytes of each in what one fit takes beside the panel, before the model's own. ``fits``: at the
    same time; 0: none. ``read``: how many rows are read at a time.
    """

    rows: int
    panel: int
    texts: int
    copies: int
    learned: int
    fits: int
    read: int

    @property
    def needs(self) -> int:
        """The bytes while the rows are read, or learned from, whichever is more."""
        reading = self.panel + _READING
        return self.rows * (self.copies * self.panel + max(reading, self.fits * self.learned))

    @property
    def mapped_needs(self) -> int:
        """The same where the arrays of the panel, and those that are made of it, are in files."""
        reading = self.rows * (2 * self.panel + _READING)
        reading = reading if self.read == self.rows else min(reading, _READERS)
        learning = self.rows * self.fits * (self.texts + _CHOOSING)
        return max(reading, learning)

    @property
    def files(self) -> int:
        """The bytes of these files."""
        return self.rows * (self.copies * self.panel + 2 * self.fits * self.learned)


def plan_rows(run: Run, features: Features, *, fits: bool) -> RowPlan | None:
    """Count what a run has of the stored rows in memory.

    Args:
        run: The run.
        features: Its features.
        fits: Whether models are fitted on them.

    Returns:
        The plan; None where the store does not say how many rows there are.
    """
    config = run.config
    rows = features.strategy.count(config.features)
    if rows is None:
        return None
    past, known = len(features.past), len(config.panel.known)
    texts = len(config.features.entity_keys) + len(features.categories)
    panel = 8 * (past + known + texts + 1)
    learned_bytes = (
        panel + 4 * (past + known + texts) + 8 * (len(config.panel.targets) + 1) + _LEARNING
    )
    copies = 1 + (config.features.stale == "flag")
    copies += _versions(config) if fits else 0
    count = _together(run) if fits else 0
    return RowPlan(rows, panel, 8 * texts, copies, learned_bytes, count, rows)


def _versions(config: Config) -> int:
    """The panels of a backtest by what was known at each origin."""
    return config.backtest.folds if config.backtest.as_known else 0


def _together(run: Run) -> int:
    compute: Compute = run.make("compute")
    folds = run.config.backtest.folds
    return max(1, compute.together(folds)) if run.config.backtest.refit else 1


def check_rows(run: Run, features: Features, *, fits: bool) -> None:
    """Say what memory the rows of the store will take, choose where their panel is kept
    (``panel.mapped``), and refuse those that do not fit.

    Args:
        run: The run.
        features: Its features; their panels are kept there from now on.
        fits: Whether models are fitted on them.

    Raises:
        ConfigError: The memory of the machine, or of its container, is too small; or the disk.
    """
    mapped, state = run.config.panel.mapped, run.config.paths.state
    plan, free = plan_rows(run, features, fits=fits), free_memory()
    features.scratch = IN_MEMORY
    if mapped is True or (
        mapped == "auto"
        and plan is not None
        and free is not None
        and plan.needs > _SHARE * free
        and not _in_memory(state)
    ):
        features.scratch = _scratch(state)
        plan = None if plan is None else _in_parts(plan, features)
    if plan is None:
        return
    needs, where = plan.needs, ""
    files = [_sent(run, plan)] if fits else []
    if features.scratch.is_mapped:
        files.append(DiskNeed(state, plan.files, "the panel"))
        needs = plan.mapped_needs
        where = f", the panel in files of {_bytes(plan.files)} (panel.mapped)"
    check_disk(run, files)
    if free is None:
        return
    line = (
        f"the {plan.rows:,} rows of view '{run.config.features.primary}' take about "
        f"{_bytes(needs)} of memory, {_bytes(free)} is free{where}"
    )
    if needs <= free:
        if plan.rows >= MANY or where:
            run.say(f"panel: {line}")
        return
    ways = ["fewer columns (panel.columns)", "fewer rows or series (the table's query)"]
    if plan.fits > 1:
        ways.insert(0, f"compute.workers=1, for one of the {plan.fits} fits at a time")
    if plan.copies > 1:
        ways.insert(0, "backtest.as_known=false and no features.stale=flag, for one panel alone")
    if not where and not _in_memory(state):
        ways.insert(0, "panel.mapped=auto")
    raise ConfigError(f"panel: {line}; take {', or '.join(ways)}.")


def _sent(run: Run, plan: RowPlan) -> DiskNeed:
    """The files through which the panel comes to the workers of a backtest."""
    compute: Compute = run.make("compute")
    refit = run.config.backtest.refit
    size = compute.disk(plan.rows * plan.copies * plan.panel) if refit else 0
    name = run.config.component("compute").name
    return temporary_need(size, f"the panel, for the workers of compute={name}")


def _scratch(state: Path) -> Scratch:
    """A place in files below ``paths.state``."""
    if _in_memory(state):
        raise ConfigError(
            f"panel.mapped: paths.state, {state}, is in memory itself (tmpfs); set paths.state to "
            "a folder of a disk, or panel.mapped=false."
        )
    state.mkdir(parents=True, exist_ok=True)
    return Scratch(state.resolve())


def _in_memory(folder: Path) -> bool:
    """Say whether the files of a folder are in memory."""
    folder = folder.resolve()
    device = next(each for each in (folder, *folder.parents) if each.exists()).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:  # not Linux
        return False
    kinds = {line.split(" - ")[1].split()[0] for line in lines if line.split()[2] == number}
    return not kinds.isdisjoint({"tmpfs", "ramfs"})


def _in_parts(plan: RowPlan, features: Features) -> RowPlan:
    """The plan with the rows that the strategy reads at a time."""
    if plan.rows <= PART:
        return plan
    with features.strategy.parts(features.config.features, PART) as parts:
        return plan if len(parts) == 1 else replace(plan, read=PART)


#: From so many rows on the memory is said before they are read.
MANY = 1_000_000


def _bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MB"
