"""Small tables for people, on stderr."""

from __future__ import annotations

from io import StringIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from framework.interfaces.values import Schema


def _text(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=110).print(table)
    return out.getvalue().rstrip()


def metrics_table(schema: Schema, figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """Target by target: the model beside the baseline, and their ratio."""
    names = list(next(iter(figures.values()))["model"])
    table = Table("target", "", *names, box=SIMPLE, title=f"{schema.name}: backtest, {schema.horizon} steps of {schema.frequency} ahead")
    for target, sides in figures.items():
        for who, metrics in sides.items():
            table.add_row(target if who == "model" else "", who, *(f"{metrics[n]:.3f}" for n in names))
    return _text(table)
