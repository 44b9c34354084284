"""The verdict on the candidates: each beside what was served since the change, then the better of
those that pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.config.config import Config
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.time import parse_time, to_numpy
from framework.errors import DataError
from framework.interfaces.registry import Check, PairVersion, ProvenPair
from framework.monitoring.served import Served

if TYPE_CHECKING:
    import pandas as pd

#: Forecasts that the candidate's backtest and what was served must have in common, of a target.
LEAST = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair and what it was judged by.

    ``rows``: those that it learned from, in words. ``table``: its backtest's long table. Where the
    pair is not proven there are neither ``files`` nor ``schema`` nor ``table``.
    """

    pair: PairVersion
    rows: str
    checks: tuple[Check, ...]
    files: ProvenPair | None = None
    schema: Schema | None = None
    table: pd.DataFrame | None = None

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def refusal(self) -> str:
        """Say which checks failed, in one line."""
        failed = [check for check in self.checks if not check.passed]
        return "; ".join(f"{check.check}: {check.detail}" for check in failed)

    def as_dict(self) -> dict[str, Any]:
        """Give what the history keeps."""
        return {
            "version": self.pair.version,
            "rows": self.rows,
            "passed": self.passed,
            "checks": [check.as_dict() for check in self.checks],
        }


def served_table(served: Served, keys: Sequence[str], targets: Sequence[str]) -> pd.DataFrame:
    """Give served forecasts whose actual is known the columns of a backtest's long table.

    Args:
        served: The forecasts, with actuals.
        keys: The entity keys.
        targets: The targets, as ``served`` numbers them.

    Returns:
        Entity keys, origin (UTC), step, target, mean.
    """
    import pandas as pd

    known = served.where(np.isfinite(served.actual))
    entities = known.entities[known.series]
    return pd.DataFrame(
        {
            **{key: entities[:, place] for place, key in enumerate(keys)},
            "origin": pd.DatetimeIndex(known.origin).tz_localize("UTC"),
            "step": known.step,
            "target": np.array(targets, dtype=object)[known.target],
            "mean": known.values[:, 0],
        }
    )


def against_served(
    candidate: pd.DataFrame,
    served: pd.DataFrame,
    keys: Sequence[str],
    *,
    since: str | None,
    gains: Mapping[str, float],
    margin: float,
) -> list[Check]:
    """Compare a candidate's backtest with what was served for the same origins and steps.

    The candidate's forecasts there are by fits that knew nothing after their origin; those that
    were served are what the incumbent really said.

    Args:
        candidate: The candidate's long table.
        served: As :func:`served_table` gives it.
        keys: The entity keys.
        since: Origins before the change are left out; None for all.
        gains: By target, the share by which the candidate's MAE must be lower; ``""`` is for any
            target. For others it may be higher by ``margin``.
        margin: As ``gate.margin``.

    Returns:
        A check for each target.

    Raises:
        DataError: A target has less than :data:`LEAST` forecasts in common.
    """
    common = _common(candidate, served, keys, since)
    checks = []
    for target in dict.fromkeys(candidate["target"]):
        rows = common[common["target"] == target]
        check = f"{target}: MAE against what was served"
        if len(rows) < LEAST:
            after = "" if since is None else f" since {since}"
            raise DataError(
                f"{check}: only {len(rows)} forecasts{after} are also in the backtest, {LEAST} are "
                "needed; wait, or raise backtest.folds."
            )
        new, old = _error(rows, "mean"), _error(rows, "mean_served")
        gain = gains.get(target, gains.get(""))
        limit = old * (1 + margin if gain is None else 1 - gain)
        detail = f"{new:.6g}, served {old:.6g}, at most {limit:.6g}, over {len(rows)} forecasts"
        checks.append(Check(check, new <= limit, new, limit, detail))
    return checks


def folds_since(
    whole: Candidate, served: pd.DataFrame, config: Config, change: str, seasons: int
) -> int:
    """Count the newest folds of a backtest that could learn from rows since the change alone.

    Args:
        whole: The candidate of all rows.
        served: As :func:`served_table` gives it.
        config: Its panel, gap and validation.
        change: The first step that may be learned from.
        seasons: How many seasons of rows each fit must have.

    Returns:
        The number of folds; 0 where they have less than :data:`LEAST` forecasts of some target in
        common with what was served, and where no fit learns from earlier rows anyway.
    """
    import pandas as pd

    panel, first = config.panel, parse_time(change, "change")
    table, schema = whole.table, whole.schema
    if table is None or schema is None or (panel.since is not None and panel.since >= first):
        return 0
    steps = max(seasons * panel.season_length, schema.context_length + panel.horizon)
    steps += config.validation.steps + config.backtest.gap
    origins = table.groupby("fold")["origin"].max().sort_values()
    times = pd.DatetimeIndex(origins).tz_localize(None).to_numpy().astype("M8[us]")
    rows = (
        Frequency.parse(panel.frequency).steps_between(np.full_like(times, to_numpy(first)), times)
        + 1
    )
    folds = origins.index[rows >= steps]
    counts = _common(table[table["fold"].isin(folds)], served, schema.entity_keys, change)[
        "target"
    ].value_counts()
    enough = all(counts.get(target, 0) >= LEAST for target in schema.targets)
    return len(folds) if enough else 0


def best_of(
    candidates: Sequence[Candidate], served: pd.DataFrame, keys: Sequence[str], since: str | None
) -> Candidate:
    """Choose by the MAE relative to what was served, on the forecasts that all of them have; the
    mean over targets. The first of equal ones.
    """
    if len(candidates) == 1:
        return candidates[0]
    on = [*keys, "origin", "step", "target"]
    tables = [
        _common(one.table, served, keys, since).set_index(on)
        for one in candidates
        if one.table is not None
    ]
    index = reduce(lambda common, index: common.intersection(index), (one.index for one in tables))

    def relative(table: pd.DataFrame) -> float:
        rows = table.loc[index].groupby(level="target")
        return float(np.mean([_error(r, "mean") / _error(r, "mean_served") for _, r in rows]))

    figures = [relative(table) for table in tables]
    return candidates[int(np.argmin(figures))]


def _common(
    table: pd.DataFrame, served: pd.DataFrame, keys: Sequence[str], since: str | None
) -> pd.DataFrame:
    """The forecasts of both, from origins since the change."""
    on = [*keys, "origin", "step", "target"]
    known = table[table[["actual", "mean"]].notna().all(axis=1)]
    common = known.merge(served, on=on, suffixes=("", "_served"))
    if since is not None:
        common = common[common["origin"] >= parse_time(since, "change")]
    return common


def _error(rows: pd.DataFrame, column: str) -> float:
    return float(np.abs(rows[column].to_numpy() - rows["actual"].to_numpy()).mean())
