"""Dashboards: what a person looks at, as queries of Prometheus. Light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How Grafana writes a number.
Unit = Literal["short", "reqps", "s", "percent", "percentunit", "bytes", "dateTimeAsIso"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot, or one number.

    Args:
        title: What it shows, with the unit where :attr:`unit` does not say it.
        queries: Expressions of PromQL, each with its legend, such as ``{{arm}}``.
        unit: How numbers are written.
        kind: A plot over time, or the newest number alone.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"


@dataclass(frozen=True, slots=True)
class Board:
    """A page of panels.

    Args:
        name: Of its file, such as ``serving``.
        title: Its headline.
        panels: In order, two beside each other.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
