"""The size of a fit: its windows and its memory, said before the first one begins. One that does
not fit is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.scratch import Scratch
from framework.errors import ConfigError, DataError
from framework.interfaces.compute import Compute
from framework.interfaces.model import FitSize, Model
from framework.interfaces.preprocessor import Preprocessor
from framework.pairs.fit import fit_preprocessor
from framework.plugins.run import Run
from framework.runs.steps.control_groups import free_memory
from framework.runs.steps.disk_space import DiskNeed, check_disk, temporary_need

#: Steps of each series that tell how many features a preprocessor makes.
_STEPS = 100
#: The share of the free memory that a proposed stride may take.
_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class FitPlan:
    """The needs of one fit on all rows.

    ``rows``: bytes of the transformed rows. ``fits``: how many there are at the same time.
    ``season``: steps that a stride must share no factor with. ``files``: bytes of the transformed
    rows in files, where the panel is in files.
    """

    name: str
    model: Model
    size: FitSize
    rows: int
    fits: int
    season: int
    files: int = 0

    def memory(self, stride: int | None = None) -> int | None:
        """Estimate the bytes of all fits that run at the same time.

        Args:
            stride: Every so many-th origin is learned from; None: as the model's options say.

        Returns:
            Bytes; None when the model does not know.
        """
        needs = self.model.memory(self.size, stride)
        return None if needs is None else self.fits * (self.rows + needs)

    def thinned(self, stride: int) -> int:
        """Estimate as :meth:`memory` does, of a model that knows."""
        return self.memory(stride) or 0

    def windows(self, stride: int) -> int:
        windows = -(-self.size.windows // stride)
        return min(windows, self.model.most_windows or windows)

    def strides(self, above: int) -> list[int]:
        """List strides that leave no hour or weekday out."""
        return [k for k in range(above + 1, above + 200) if gcd(k, self.season) == 1]


def plan_fit(
    run: Run, name: str, panel: Panel, schema: Schema, model: Model, preprocessor: Preprocessor
) -> FitPlan:
    """Count what the last fit learns from.

    Args:
        run: Its configuration is asked for the folds and where they are computed.
        name: The model's name.
        panel: The rows.
        schema: The columns, the horizon and the quantiles.
        model: Not fitted.
        preprocessor: Fitted on a few rows, and of no use afterwards.

    Returns:
        The plan.
    """
    config = run.config
    lengths = np.diff(panel.offsets)
    windows = np.maximum(lengths - schema.context_length, 0)
    validation = int(np.minimum(windows, config.validation.steps).sum())
    past, future, static = _widths(panel, schema, preprocessor)
    size = FitSize(
        int(windows.sum()) - validation,
        validation,
        schema.context_length,
        schema.horizon,
        past,
        future,
        static,
        len(schema.targets),
        len(schema.quantiles),
    )
    row_bytes = 8 * (len(schema.past) + len(schema.known) + len(schema.static) + 1)
    row_bytes += 2 * (4 * (past + future + static) + 8 * len(schema.targets) + 8)
    files = 0
    if panel.scratch.is_mapped:
        files = len(panel) * row_bytes
        row_bytes = 8  # which rows are chosen; all the rest can be taken out of the memory
    compute: Compute = run.make("compute")
    fits = max(1, compute.together(config.backtest.folds)) if config.backtest.refit else 1
    season = config.panel.season_length
    return FitPlan(name, model, size, len(panel) * row_bytes, fits, season, files)


def _widths(panel: Panel, schema: Schema, preprocessor: Preprocessor) -> tuple[int, int, int]:
    last = panel.times.max()
    first = panel.frequency.shift(np.array([last]), -_STEPS)[0]
    try:
        arrays = fit_preprocessor(panel.between(first, last), schema, preprocessor)
    except DataError:  # a column has values only before that; the fit itself sees them
        return len(schema.past), len(schema.known), len(schema.static)
    return arrays.past.shape[1], arrays.future.shape[1], arrays.static.shape[1]


def describe(plan: FitPlan, free: int | None) -> str:
    """Say how much is learned from, what that takes and what a stride would change, in one line.

    Args:
        plan: The fit.
        free: Bytes of memory that are free; None: not known.

    Returns:
        The line.
    """
    size, stride = plan.size, plan.model.origin_stride
    count = plan.windows(stride or 1)
    line = (
        f"model={plan.name}: the last fit has {count + size.validation:,} windows of "
        f"{size.context_length} steps back and {size.horizon} ahead to learn from"
    )
    needs = plan.memory()
    if needs is None:
        return line
    line += f", about {_gigabytes(needs)} of memory"
    line += "" if plan.fits == 1 else f" for {plan.fits} fits at a time"
    line += "" if free is None else f" ({_gigabytes(free)} is free)"
    if stride is None:
        return line
    other = plan.strides(stride)[0]
    return (
        f"{line}; model.origin_stride={other} would take {plan.windows(other):,} and "
        f"{_gigabytes(plan.thinned(other))}"
    )


def check_memory(plan: FitPlan, free: int | None) -> None:
    """Refuse a fit that the machine has no memory for.

    Args:
        plan: The fit.
        free: Bytes of memory that are free; None: not known.

    Raises:
        ConfigError: It does not fit; the message says what would.
    """
    needs = plan.memory()
    if needs is None or free is None or needs <= free:
        return
    stride = plan.model.origin_stride
    ways = []
    if stride is not None:
        fitting = [k for k in plan.strides(stride) if plan.thinned(k) <= _SHARE * free]
        if fitting:
            takes = _gigabytes(plan.thinned(fitting[0]))
            ways.append(f"model.origin_stride={fitting[0]} takes {takes}")
    if plan.fits > 1:
        ways.append(f"compute.workers=1 makes one of the {plan.fits} fits at a time")
    if hasattr(plan.model.options, "season_length"):
        ways.append("a shorter model.season_length takes less")
    ways.append("fewer columns (panel.columns) or shorter windows take less")
    raise ConfigError(
        f"model={plan.name}: a fit of {plan.windows(stride or 1):,} windows takes about "
        f"{_gigabytes(needs)} of memory, {_gigabytes(free)} is free; {', or '.join(ways)}."
    )


def files_of(plan: FitPlan, scratch: Scratch) -> list[DiskNeed]:
    """List the files that fits keep while they work.

    Args:
        plan: The fit.
        scratch: Where the arrays of the panel are kept.

    Returns:
        The needs of all fits at the same time; none where all is in memory.
    """
    fits = "" if plan.fits == 1 else f" of {plan.fits} fits at a time"
    rows, bins = plan.fits * plan.files, plan.fits * plan.model.disk(plan.size)
    what = f"what model={plan.name} learns from{fits}"
    if scratch.folder is not None and scratch.is_mapped:
        needs = [DiskNeed(scratch.folder, rows, f"the rows{fits}")]
        needs.append(DiskNeed(scratch.folder, bins, what))
    else:
        needs = [temporary_need(bins, what)]
    return [need for need in needs if need.size]


def tell_fit(
    run: Run, name: str, panel: Panel, schema: Schema, model: Model, preprocessor: Preprocessor
) -> None:
    """Say what a fit learns from, and refuse it where it does not fit the memory or the disk.

    Args:
        run: The run.
        name: The model's name.
        panel: The rows.
        schema: The columns, the horizon and the quantiles.
        model: Not fitted.
        preprocessor: Not fitted.

    Raises:
        ConfigError: The memory of the machine, or of its container, is too small; or the disk.
    """
    plan, free = plan_fit(run, name, panel, schema, model, preprocessor), free_memory()
    run.say(describe(plan, free))
    check_memory(plan, free)
    check_disk(run, files_of(plan, panel.scratch))


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 0.05 * 2**30 else "under 0.1 GB"
