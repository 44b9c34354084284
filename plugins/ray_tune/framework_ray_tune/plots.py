"""Pictures of a search: how the best came down, and which options mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from framework.interfaces.tuner import DONE, Dimension, Trial
from framework_ray_tune.sampling import importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from framework.plugins.run import Run

mpl.use("Agg")


def write_plots(run: Run, trials: list[Trial], dimensions: Sequence[Dimension]) -> list[Path]:
    """``search_history.png`` and, when enough trials finished, ``search_importance.png``, in the
    run's folder.
    """
    paths = [
        _save(
            _history(
                trials,
                f"{run.options.metric} of {run.options.target or run.config.panel.targets[0]}",
            ),
            run,
            "history",
        )
    ]
    shares = importance(trials, dimensions)
    if shares:
        paths.append(_save(_bars(shares), run, "importance"))
    return paths


def _save(figure: Figure, run: Run, name: str) -> Path:
    path = run.directory / f"search_{name}.png"
    figure.savefig(path, dpi=110)
    return path


def _history(trials: list[Trial], label: str) -> Figure:
    from matplotlib.figure import Figure

    finished_trials = [t for t in trials if t.status == DONE and t.value is not None]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    numbers = np.array([t.number for t in finished_trials])
    values = np.array([t.value for t in finished_trials], dtype=float)
    axes.scatter(numbers, values, s=18, color="#1f77b4", label="finished")
    early = [t for t in trials if t.status != DONE and t.folds]
    axes.scatter(
        [t.number for t in early],
        [t.folds[-1] for t in early],
        s=18,
        marker="x",
        color="#999999",
        label="stopped early",
    )
    order = np.argsort(numbers)
    if len(order):
        axes.step(
            numbers[order],
            np.minimum.accumulate(values[order]),
            where="post",
            color="#d62728",
            label="best so far",
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(label)
    axes.legend()
    return figure


def _bars(shares: dict[str, float]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.4 * len(shares)), layout="constrained")
    axes = figure.add_subplot()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color="#1f77b4")
    axes.set_xlabel("share of the objective explained (PED-ANOVA)")
    return figure
