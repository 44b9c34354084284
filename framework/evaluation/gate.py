"""The gate of a promotion: the candidate beside the incumbent and the baseline, on the same
windows and the same rows.

What is compared are the rolling-origin backtests that travel with the pairs: each forecast there
was made by a fit that knew nothing after its origin, which is not true of the registered pair
itself on any past window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.config.sections import GateConfig
from framework.data.arrays import Float64, Rows
from framework.data.grouping import series_numbers
from framework.data.vocabulary import TIME
from framework.errors import ConfigError
from framework.evaluation.metrics import POINT_METRICS, Tally, score
from framework.interfaces.registry import Check

if TYPE_CHECKING:
    import pandas as pd


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """The rows on which model and baseline can both be judged."""
    return table[table[["actual", "mean", "baseline"]].notna().all(axis=1)]


def common_windows(
    candidate: pd.DataFrame, incumbent: pd.DataFrame, keys: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of both backtests that are about the same series, origin, step and target and are
    known in both, in one order.
    """
    on = [*keys, "origin", TIME, "step", "target"]
    known = [_judged(table) for table in (candidate, incumbent)]
    left, right = (table.set_index(on) for table in known)
    index = left.index.intersection(right.index)
    return left.loc[index].reset_index(), right.loc[index].reset_index()


def check_candidate(
    config: GateConfig,
    candidate: pd.DataFrame,
    incumbent: pd.DataFrame | None,
    keys: tuple[str, ...],
) -> list[Check]:
    """Every check of the config. ``incumbent`` is None when the alias points at nothing yet."""
    if config.metric not in POINT_METRICS:
        raise ConfigError(
            f"gate.metric: '{config.metric}' is not one of {', '.join(POINT_METRICS)}."
        )
    checks: list[Check] = []
    known = _judged(candidate)
    for target in dict.fromkeys(candidate["target"]):
        rows = known[known["target"] == target]
        naive = _score(config.metric, rows, "baseline")
        checks.append(
            _compare(
                f"{target}: {config.metric} against the baseline",
                rows,
                config,
                naive,
                config.baseline_margin,
            )
        )
        if config.bias is not None:
            size = float(np.abs(rows["actual"]).mean())
            value = abs(_score("bias", rows, "mean")) / size if size else float("nan")
            checks.append(
                _limit(f"{target}: bias relative to the mean actual", value, config.bias, len(rows))
            )
        if config.coverage is not None:
            checks += _coverage(target, rows, config.coverage)
        if incumbent is None:
            continue
        new, old = common_windows(rows, incumbent[incumbent["target"] == target], keys)
        if not len(new):
            detail = (
                "the backtests of candidate and incumbent have no known step of a series in "
                "common; force=true overrules"
            )
            checks.append(
                Check(f"{target}: {config.metric} against the incumbent", False, None, None, detail)
            )
            continue
        name = f"{target}: {config.metric} against the incumbent"
        checks.append(
            _compare(name, new, config, _score(config.metric, old, "mean"), config.margin)
        )
        if config.worst_series is not None:
            checks.append(_worst_series(f"{target}: worst series", new, old, keys, config))
    return checks


def _score(metric: str, rows: pd.DataFrame, column: str) -> float:
    actual, forecast, scale = (_floats(rows, name) for name in ("actual", column, "scale"))
    return score(actual, forecast[:, None], scale)[metric]


def _floats(rows: pd.DataFrame, column: str) -> Float64:
    return rows[column].to_numpy(dtype=np.float64)


def _compare(
    name: str, rows: pd.DataFrame, config: GateConfig, reference: float, margin: float
) -> Check:
    """Lower is better for every metric but bias, which is judged by its size."""
    value = _score(config.metric, rows, "mean")
    if config.metric == "bias":
        value, reference = abs(value), abs(reference)
    return _limit(name, value, reference * (1 + margin), len(rows))


def _limit(name: str, value: float, limit: float, rows: int) -> Check:
    passed = bool(value <= limit)  # a figure that is unknown (NaN) does not pass
    known = [float(v) if np.isfinite(v) else None for v in (value, limit)]
    return Check(
        name,
        passed,
        known[0],
        known[1],
        f"{value:.4g} {'<=' if passed else '>'} {limit:.4g} on {rows} rows",
    )


def _coverage(target: str, rows: pd.DataFrame, tolerance: float) -> list[Check]:
    """Share of actuals below each quantile, beside its level."""
    checks = []
    for column in [
        c for c in rows.columns if c.startswith("q") and c[1:].replace(".", "", 1).isdigit()
    ]:
        level = float(column[1:])
        share = float((rows["actual"] <= rows[column]).mean())
        checks.append(
            _limit(f"{target}: calibration of {column}", abs(share - level), tolerance, len(rows))
        )
    return checks


def _worst_series(
    name: str, new: pd.DataFrame, old: pd.DataFrame, keys: tuple[str, ...], config: GateConfig
) -> Check:
    """The largest ratio of a series' mean absolute error to the incumbent's on that series."""
    assert config.worst_series is not None
    (series,) = series_numbers(keys, new)  # ``old`` has the same rows
    candidate, incumbent = (_errors_by_series(table, series) for table in (new, old))
    has_scale = incumbent > 0
    if not has_scale.any():
        return Check(
            name, True, None, config.worst_series, "the incumbent has no error in any series"
        )
    ratio = np.divide(candidate, incumbent, out=np.full(len(has_scale), -np.inf), where=has_scale)
    check = _limit(name, float(ratio.max()), config.worst_series, len(new))
    entity = new.loc[series == ratio.argmax(), list(keys) or ["target"]].iloc[0]
    worst = ", ".join(map(str, entity))
    return Check(name, check.passed, check.value, check.limit, f"{worst}: {check.detail}")


def _errors_by_series(rows: pd.DataFrame, series: Rows) -> Float64:
    """Return the mean absolute error of each series."""
    tally = Tally(groups=int(series.max()) + 1)
    tally.add(
        _floats(rows, "actual"),
        _floats(rows, "mean")[:, None],
        _floats(rows, "scale"),
        groups=series,
    )
    return tally.figures()["MAE"]
