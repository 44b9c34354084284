"""Small tables for people, on stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from framework.data.schema import Schema
from framework.evaluation.comparison import Ranked
from framework.evaluation.result import spoken_choice
from framework.interfaces.tuner import Trial
from framework.tuning.automatic.judged import Judged

#: Columns of a terminal that most people have.
WIDTH = 120
#: What the table of a backtest shows; the JSON has all.
SHOWN = ("MAE", "RMSE", "WAPE", "MASE", "bias", "coverage")


def _text(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=WIDTH).print(table)
    return out.getvalue().rstrip()


def metrics_table(
    schema: Schema,
    figures: dict[str, dict[str, dict[str, float]]],
    choices: Mapping[str, Mapping[str, int]],
    what: str = "backtest",
) -> str:
    """Target by target: the model beside the baseline, with what the baseline took."""
    known = next(iter(figures.values()))["model"]
    names = [name for name in known if name.startswith(SHOWN)]
    table = Table(
        "target",
        "",
        *names,
        box=SIMPLE,
        title=f"{schema.name}: {what}, {schema.horizon} steps of {schema.frequency} ahead",
    )
    for target, sides in figures.items():
        choice = spoken_choice(choices.get(target, {}))
        for who, metrics in sides.items():
            table.add_row(
                target if who == "model" else "",
                f"{who}: {choice}" if choice and who == "baseline" else who,
                *(f"{metrics[n]:.3f}" if n in metrics else "" for n in names),
            )
    return _text(table)


def comparison_table(name: str, ranked: Mapping[str, Sequence[Ranked]]) -> str:
    """Target by target the models, the best first; p: that a model is as good as the best and
    behind it by chance.
    """
    table = Table(
        "target",
        "rank",
        "model",
        "scaled error",
        "mean rank",
        "MAE",
        "p over series",
        "p over time",
        box=SIMPLE,
    )
    table.title = f"{name}: models on the same windows"
    for target, lines in ranked.items():
        for line in lines:
            chances = ("" if p is None else f"{p:.3g}" for p in (line.p, line.p_time))
            cells = (f"{line.loss:.4f}", f"{line.mean_rank:.2f}", f"{line.mae:.4f}", *chances)
            table.add_row(target if line.rank == 1 else "", str(line.rank), line.model, *cells)
    return _text(table)


def trials_table(name: str, what: str, trials: Sequence[Trial], best: Trial, rows: int = 10) -> str:
    """The best trials of a search, the best first, and how many there were."""
    ranked = sorted((t for t in trials if t.value is not None), key=lambda t: (t.value, t.number))[
        :rows
    ]
    paths = list(dict.fromkeys(path for trial in ranked for path in trial.values))
    table = Table(
        "trial",
        "value",
        "seconds",
        *paths,
        box=SIMPLE,
        title=f"{name}: best {what} (trial {best.number} of {len(trials)})",
    )
    for trial in ranked:
        cells = (_short(trial.values.get(path, "")) for path in paths)
        table.add_row(str(trial.number), f"{trial.value:.6g}", f"{trial.seconds:.1f}", *cells)
    return _text(table)


def leaderboard_table(name: str, ranked: Sequence[Judged]) -> str:
    """The set-ups of ``model=auto``, the best first; a scaled error below 1 beats the seasonal
    naive forecast of the history.
    """
    table = Table("set-up", "scaled error", "what", box=SIMPLE, title=f"{name}: model=auto")
    for one in ranked:
        value = "" if one.value is None else f"{one.value:.4f}"
        table.add_row(one.setup.name, value, (one.error or one.setup.why)[:70])
    return _text(table)


def sweep_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a job of a multirun."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, box=SIMPLE, title=f"sweep: {len(rows)} jobs")
    for row in rows:
        table.add_row(*(_short(row.get(name, "")) for name in names))
    return _text(table)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:30]


def monitor_table(name: str, reports: Sequence[Mapping[str, Any]]) -> str:
    """The arms of a server, target by target, each beside the backtest of its pair."""
    columns = ("target", "arm", "version", "steps", "MAE", "backtest", "coverage", "backtest")
    table = Table(*columns, "drift", box=SIMPLE)
    table.title = f"{name}: what was served"
    for report in reports:
        for target, live in report["live"].items():
            past = report["backtest"][target]
            verdicts = {one["verdict"] for one in report["drift"] if one["target"] == target}
            drift = next((v for v in ("alarm", "quiet") if v in verdicts), "too few")
            figures = [side.get(key, "") for key in ("MAE", "coverage") for side in (live, past)]
            cells = (_short(value) for value in (live["steps"], *figures))
            table.add_row(target, report["arm"], str(report["version"]), *cells, drift)
    return _text(table)


def arms_table(name: str, arms: Sequence[Mapping[str, Any]]) -> str:
    """The arms of a server, target by target; the last columns are of what all of them forecast."""
    table = Table(
        "target",
        "arm",
        "version",
        "forecasts",
        "failed",
        "mean",
        "MAE",
        "bias",
        "common",
        "mean",
        "MAE",
        box=SIMPLE,
    )
    table.title = f"{name}: what was answered"
    for arm in sorted(arms, key=lambda a: (a["target"], a["arm"], a["version"])):
        common = arm["common"]
        own = (_short(arm.get(key, "")) for key in ("forecasts", "failed", "mean", "MAE", "bias"))
        cells = (_short(common.get(key, "")) for key in ("forecasts", "mean", "MAE"))
        table.add_row(arm["target"], arm["arm"], str(arm["version"]), *own, *cells)
    return _text(table)
