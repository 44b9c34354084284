"""The backtest of a pair, read from the table that travels with the pair: every byte of it has
been proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framework.data.arrays import Float64
from framework.data.arrow_columns import coded, moments
from framework.data.grouping import series_numbers
from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import TIME
from framework.errors import FrameworkError
from framework.evaluation.metrics import score
from framework.pairs.artifacts import BACKTEST


def summary(model: Path) -> dict[str, Any]:
    """``{"origins", "first", "last", "horizon", "targets": {target: {"model": {MAE, …}, "baseline":
    {…}}}}``.

    Model and baseline are judged on the steps that both forecast and whose actual is known, as
    :meth:`BacktestResult.metrics` does it. ``first`` and ``last`` are origins. Figures are six
    digits, null where they are unknown.
    """
    schema = Schema.model_validate_json((model / "schema.json").read_text())
    quantiles = [f"q{q:g}" for q in schema.quantiles]
    columns = ["fold", "origin", "target", "actual", "baseline", "scale", "mean", *quantiles]
    table = _read(model, [*schema.entity_keys, *columns], optional=["square"])
    origins = np.unique(moments(table["origin"]))
    places, names = coded(table["target"])
    first, last = format_times(origins[[0, -1]])
    targets = {
        name: _judged(table.filter(places == i), schema) for i, name in enumerate(names.to_pylist())
    }
    return {
        "origins": len(pc.unique(table["fold"])),
        "first": first,
        "last": last,
        "horizon": schema.horizon,
        "targets": targets,
    }


def _judged(table: pa.Table, schema: Schema) -> dict[str, dict[str, float | None]]:
    names = ["mean", *(f"q{q:g}" for q in schema.quantiles)]
    model = np.stack([_floats(table, name) for name in names], axis=1)
    baseline, scale = _floats(table, "baseline")[:, None], _floats(table, "scale")
    is_known = np.isfinite(model[:, 0]) & np.isfinite(baseline[:, 0])
    actual = np.where(is_known, _floats(table, "actual"), np.nan)
    # Backtests of earlier versions have no denominator of RMSSE.
    square = _floats(table, "square") if "square" in table.column_names else None
    (series,) = series_numbers(
        schema.entity_keys, table.select(list(schema.entity_keys)).to_pandas()
    )
    sides = {
        "model": score(actual, model, scale, schema.quantiles, square=square, series=series),
        "baseline": score(actual, baseline, scale, square=square, series=series),
    }
    return {
        side: {m: float(f"{v:.6g}") if np.isfinite(v) else None for m, v in figures.items()}
        for side, figures in sides.items()
    }


def earlier_forecasts(model: Path, schema: Schema, entity: dict[str, str]) -> list[dict[str, Any]]:
    """The backtest's forecasts of one entity, oldest origin first, none when it was not backtested.

    ``{"origin", "times", "targets": {target: {"mean", "lower", "upper"}}}``, the ends being the
    outermost quantiles, if there are any.
    """
    quantiles = [f"q{q:g}" for q in schema.quantiles]
    ends = {"lower": quantiles[0], "upper": quantiles[-1]} if quantiles else {}
    lines = {"mean": "mean", **ends}
    filters = [(key, "==", entity[key]) for key in schema.entity_keys]
    table = _read(
        model, ["origin", TIME, "step", "target", *dict.fromkeys(lines.values())], filters
    )
    forecasts = []
    for origin in pc.unique(table["origin"]).sort():
        part = table.filter(pc.equal(table["origin"], origin)).sort_by("step")
        steps = {target: part.filter(pc.equal(part["target"], target)) for target in schema.targets}
        some = steps[schema.targets[0]]
        columns = {
            t: {line: _listed(rows, column) for line, column in lines.items()}
            for t, rows in steps.items()
        }
        (at,) = format_times(np.array([origin.as_py().replace(tzinfo=None)], "M8[us]"))
        forecasts.append(
            {"origin": at, "times": format_times(moments(some[TIME])), "targets": columns}
        )
    return forecasts


def _read(
    model: Path,
    columns: Sequence[str],
    filters: list[tuple[str, str, str]] | None = None,
    optional: Sequence[str] = (),
) -> pa.Table:
    """Read columns of the backtest; ``optional`` ones where it has them."""
    path = model / BACKTEST
    if not path.is_file():
        raise FrameworkError("there is no backtest with this pair.")
    try:
        present = [name for name in optional if name in pq.read_schema(path).names]
        return pq.read_table(path, columns=[*columns, *present], filters=filters or None)
    except (OSError, pa.ArrowException) as error:
        raise FrameworkError(
            f"the backtest of this pair cannot be read: {' '.join(str(error).split())}"
        ) from error


def _floats(table: pa.Table, name: str) -> Float64:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _listed(table: pa.Table, name: str) -> list[float | None]:
    return [None if np.isnan(value) else value for value in _floats(table, name).tolist()]
