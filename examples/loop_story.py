"""The story of a year as ``loop_demo.py`` saw it: a screen, a plot, a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from loop_year import Year

#: The days over which errors are compared, and the share by which they may be larger.
DAYS, MARGIN = 30, 0.1


def told(year: Year, noise: bool, output: Path, console: Console) -> bool:
    """Print the story, draw the plot, judge. True where all went as it should."""
    errors = year.errors()
    moves = [entry for entry in year.history() if entry["action"] == "move"]
    days = len(year.versions)
    before = errors[: year.change - 6].mean()
    table = Table("day", "", box=SIMPLE, title="the loop, a year")
    table.add_row("0", f"version 1 serves; MAE until day {year.change}: {before:.2f}")
    what = "the noise of the north grows" if noise else "the level of the north rises"
    table.add_row(str(year.change), what)
    checks = []
    end = days
    for day, result in year.retrained:
        end = min(end, day + 1)
        labels = result["alert"]["labels"] if result["alert"] else {}
        table.add_row(str(day), f"alert {result['alert']['name']}: {labels.get('target')}")
        for one in result["candidates"]:
            state = "passed" if one["passed"] else "refused"
            table.add_row("", f"version {one['version']}, trained on {one['rows'][:21]}: {state}")
        moved = f"version {result['pair']['version']} is production now"
        refused = f"refused: {result['detail']}"
        table.add_row("", moved if result["status"] == "promoted" else refused)
    between = errors[year.change : end].mean()
    table.add_row(f"{year.change} to {end - 1}", f"MAE {between:.2f}")
    after = errors[end : end + DAYS].mean() if len(errors) > end else float("nan")
    table.add_row(f"{end} to {end + DAYS - 1}", f"MAE {after:.2f}, by version {year.versions[-1]}")
    table.add_row(str(days - 1), f"MAE since day {end}: {errors[end:].mean():.2f}")
    console.print(table)
    statuses = [result["status"] for _, result in year.retrained]
    if noise:
        checks.append(("every retraining was refused", set(statuses) == {"refused"}))
        checks.append(("nothing moved", len(moves) == 1 and set(year.versions) == {1}))
    else:
        checks.append(("exactly one retraining", statuses == ["promoted"] and len(moves) == 2))
        limit = (1 + MARGIN) * before
        checks.append((f"MAE {after:.2f}, at most {limit:.2f}", bool(after <= limit)))
    checks.append((f"{year.asked} requests, {len(year.failures)} failed", not year.failures))
    passed = all(ok for _, ok in checks)
    lines = "; ".join(f"{text}{'' if ok else ' (FAILED)'}" for text, ok in checks)
    console.print(f"[bold]{'as it should be' if passed else 'NOT AS IT SHOULD BE'}[/]: {lines}")
    draw(year, errors, output)
    console.print(f"plot: {output}", soft_wrap=True)
    return passed


def draw(year: Year, errors: np.ndarray, output: Path) -> None:
    """Draw error, evidence and the version that answers, one below the other."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes: Any = figure.subplots(3, sharex=True, height_ratios=[3, 2, 1])
    week = np.convolve(errors, np.ones(7) / 7, "valid")
    axes[0].plot(errors, color="0.8", label="each day")
    axes[0].plot(np.arange(len(week)) + 6, week, color="tab:blue", label="mean of 7 days")
    axes[0].set_ylabel("MAE of the week ahead,\nby the day of the forecast")
    axes[0].set_ylim(0)
    days = [day for day, _, _ in year.evidence]
    axes[1].step(days, [share for *_, share in year.evidence], where="post", color="tab:orange")
    axes[1].axhline(1, color="0.4", linestyle=":", label="alarm")
    axes[1].set_ylabel("evidence of drift,\nshare of an alarm")
    axes[2].step(range(len(year.versions)), year.versions, where="post", color="tab:green")
    axes[2].set_ylabel("version of\nproduction")
    axes[2].set_yticks(sorted(set(year.versions)))
    axes[2].set_xlabel("day")
    for place, one in enumerate(axes):
        one.axvline(year.change, color="tab:red", linestyle="--", label="change")
        for number, (day, result) in enumerate(year.retrained):
            label = None if number else f"retraining ({result['status']})"
            one.axvline(day, color="tab:green", linestyle="--", label=label)
        if place < 2:
            one.legend(loc="upper left", fontsize="small")
    figure.savefig(output, dpi=110)
