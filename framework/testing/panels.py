"""Synthetic panels for the contract suites, through the checks that real rows go through."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.data.windows import PanelArrays, WindowSet

SEASON = 7
PAST = ("sales", "visits", "temperature")
KNOWN = ("promotion", "price")


def make_panel(series: int = 6, days: int = 120, seed: int = 3) -> Panel:
    """Make daily series: ``sales`` and ``visits`` (targets, above 0, weekly season),
    ``temperature`` with nulls; ``promotion`` and ``price`` are known in advance.

    The entity key is ``shop``, the category ``format``. Series begin at different days and end
    together.

    Args:
        series: How many series.
        days: The steps of the longest series.
        seed: The seed of all numbers.

    Returns:
        The panel, whose arrays are the caller's own.
    """
    panel = _made_panel(series, days, seed)
    arrays = {f.name: getattr(panel, f.name) for f in fields(panel)}
    copies: dict[str, Any] = {n: a.copy() for n, a in arrays.items() if isinstance(a, np.ndarray)}
    return replace(panel, **copies)


def sales_table(series: int = 6, days: int = 120, seed: int = 3) -> pd.DataFrame:
    """Make the rows of :func:`make_panel`.

    Args:
        series: How many series.
        days: The steps of the longest series.
        seed: The seed of all numbers.

    Returns:
        A long table.
    """
    generator = np.random.default_rng(seed)
    end = np.datetime64("2024-06-30", "D")
    frames = []
    for i in range(series):
        length = days - 5 * i
        times = end - np.arange(length)[::-1]
        week = np.sin(2 * np.pi * np.arange(length) / SEASON)
        promotion = (generator.random(length) < 0.2).astype(float)
        visits = 50 + 10 * i + 12 * week + generator.normal(0, 2, length)
        temperature = generator.normal(15, 8, length)
        temperature[generator.random(length) < 0.1] = np.nan
        frames.append(
            pd.DataFrame(
                {
                    "shop": f"shop-{i}",
                    TIME: pd.DatetimeIndex(times).tz_localize("UTC"),
                    "sales": visits * (0.4 + 0.2 * promotion) + generator.normal(0, 1, length),
                    "visits": visits,
                    "temperature": temperature,
                    "promotion": promotion,
                    "price": 2 + generator.random(length),
                    "format": ("small", "large")[i % 2],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@cache
def _made_panel(series: int, days: int, seed: int) -> Panel:
    """Make a panel once: the suites ask for few, again and again."""
    rows = sales_table(series, days, seed)
    return panel_from_rows(
        rows,
        entity_keys=("shop",),
        past=PAST,
        known=KNOWN,
        categories=("format",),
        frequency=Frequency.parse("D"),
    )


def panel_schema(panel: Panel, **changed: Any) -> Schema:
    """Make the schema of :func:`make_panel`: two targets, 5 steps ahead.

    Args:
        panel: The panel.
        changed: Fields that differ.

    Returns:
        The schema.
    """
    values: dict[str, Any] = {
        "name": "contract",
        "entity_keys": panel.entity_keys,
        "frequency": panel.frequency.alias,
        "targets": PAST[:2],
        "past": panel.past_names,
        "nullable": ("temperature",),
        "known": panel.known_names,
        "static": panel.static_names,
        "horizon": 5,
        "context_length": 1,
        "quantiles": (),
    }
    return Schema(**{**values, **changed})


def plain_arrays(panel: Panel, targets: int) -> PanelArrays:
    """Make the panel as a model sees it after a preprocessor that changes nothing.

    Args:
        panel: The panel.
        targets: How many targets it has.

    Returns:
        The arrays; texts are the places of their values.
    """
    codes = [
        np.unique(panel.static[:, i].astype(str), return_inverse=True)[1]
        for i in range(panel.static.shape[1])
    ]
    return PanelArrays(
        panel.offsets,
        panel.entities,
        panel.times,
        panel.past[:, :targets].copy(),
        panel.past.astype(np.float32),
        panel.known.astype(np.float32),
        np.stack(codes, axis=1).astype(np.float32),
        panel.past_names,
    )


def windows_between(
    arrays: PanelArrays, schema: Schema, first: np.datetime64 | None, last: np.datetime64
) -> WindowSet:
    """Find the windows whose whole horizon is known.

    Args:
        arrays: A panel after preprocessing.
        schema: Says how long windows are.
        first: The first origin (UTC); None: the earliest.
        last: The last origin (UTC).

    Returns:
        The windows.
    """
    rows = np.arange(len(arrays.times))
    usable = (rows - arrays.series_starts() >= schema.context_length - 1) & (
        rows + schema.horizon < arrays.series_ends()
    )
    usable &= arrays.times <= last
    if first is not None:
        usable &= arrays.times >= first
    return WindowSet(
        arrays, np.flatnonzero(usable).astype(np.int64), schema.context_length, schema.horizon
    )


def write_rows(
    path: Path,
    schema: Schema,
    entities: int,
    steps: int = 1,
    *,
    columns: dict[str, str] | None = None,
    **parquet: Any,
) -> Path:
    """Write a Parquet file of rows as ``POST /predict`` takes them.

    Args:
        path: The file.
        schema: The columns.
        entities: How many entities.
        steps: How many daily rows of each.
        columns: One text in all rows, by column.
        parquet: Options of the writer.

    Returns:
        ``path``.
    """
    generator, n = np.random.default_rng(3), entities * steps
    rows: dict[str, Any] = {
        name: np.repeat([f"{name}-{i}" for i in range(entities)], steps) for name in schema.static
    }
    rows |= {name: [text] * n for name, text in (columns or {}).items()}
    rows[TIME] = np.tile(pd.date_range("2024-03-01", periods=steps, freq="D", tz="UTC"), entities)
    rows |= {name: generator.normal(10, 3, n) for name in schema.past}
    pd.DataFrame(rows).to_parquet(path, index=False, **parquet)
    return path
