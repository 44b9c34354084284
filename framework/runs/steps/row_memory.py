"""The memory that the rows of a store take, estimated before they are read. Rows that do not fit
are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.config.config import Config
from framework.errors import ConfigError
from framework.interfaces.compute import Compute
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.control_groups import free_memory

#: Bytes of a row beside its columns while it is read and while it is learned from: numbers of
#: series, steps and rows, as measured at 10,950,000 rows.
_READING, _LEARNING = 72, 48


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The rows that are in memory at the same time.

    ``rows``: those of the primary view. ``panel``: bytes of each in the panel. ``copies``: how many
    panels there are, for the versions of a backtest as well. ``learned``: bytes of each in what one
    fit takes beside the panel, before the model's own. ``fits``: at the same time; 0: none.
    """

    rows: int
    panel: int
    copies: int
    learned: int
    fits: int

    @property
    def needs(self) -> int:
        """The bytes while the rows are read, or learned from, whichever is more."""
        reading = self.panel + _READING
        return self.rows * (self.copies * self.panel + max(reading, self.fits * self.learned))


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
    return RowPlan(rows, panel, copies, learned_bytes, _together(run) if fits else 0)


def _versions(config: Config) -> int:
    """The panels of a backtest by what was known at each origin."""
    return config.backtest.folds if config.backtest.as_known else 0


def _together(run: Run) -> int:
    compute: Compute = run.make("compute")
    folds = run.config.backtest.folds
    return max(1, compute.together(folds)) if run.config.backtest.refit else 1


def check_rows(run: Run, features: Features, *, fits: bool) -> None:
    """Say what memory the rows of the store will take, and refuse those that do not fit.

    Args:
        run: The run.
        features: Its features.
        fits: Whether models are fitted on them.

    Raises:
        ConfigError: The memory of the machine, or of its container, is too small.
    """
    plan, free = plan_rows(run, features, fits=fits), free_memory()
    if plan is None or free is None:
        return
    line = (
        f"the {plan.rows:,} rows of view '{run.config.features.primary}' take about "
        f"{_bytes(plan.needs)} of memory, "
        f"{_bytes(free)} is free"
    )
    if plan.needs <= free:
        if plan.rows >= MANY:
            run.say(f"panel: {line}")
        return
    ways = ["fewer columns (panel.columns)", "fewer rows or series (the table's query)"]
    if plan.fits > 1:
        ways.insert(0, f"compute.workers=1, for one of the {plan.fits} fits at a time")
    if plan.copies > 1:
        ways.insert(0, "backtest.as_known=false and no features.stale=flag, for one panel alone")
    raise ConfigError(f"panel: {line}; take {', or '.join(ways)}.")


#: From so many rows on the memory is said before they are read.
MANY = 1_000_000


def _bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MB"
