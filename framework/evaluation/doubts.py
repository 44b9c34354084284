"""Doubts about a backtested experiment, one line each: for ``warnings`` of a run's
result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from framework.data.arrays import Float64, Objects
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.scratch import blocks
from framework.data.vocabulary import MISSING_FEATURE, STALE
from framework.evaluation.result import BacktestResult, in_brackets
from framework.features.views import FeatureSet
from framework.pairs.domain import Domain
from framework.retrieval.stored_panel import stored_context

#: Windows that are looked at together.
_PIECE = 2_000


def without_actuals(panel: Panel, entities: Objects) -> list[str]:
    """Say which series of the store are not in the panel because no row of theirs has an actual.

    Args:
        panel: As :func:`framework.retrieval.stored_panel.stored_panel` makes it.
        entities: ``[n, E]``, the entities that have stored rows.
    """
    present = {tuple(entity) for entity in panel.entities}
    absent = [tuple(entity) for entity in entities if tuple(entity) not in present]
    if not absent:
        return []
    first = dict(zip(panel.entity_keys, absent[0], strict=True))
    return [
        f"panel: {len(absent)} of {len(entities)} series have rows but no value of any "
        f"target, such as {first}: "
        "they are neither learned nor forecast"
    ]


def thin_folds(result: BacktestResult, folds: int) -> list[str]:
    """Name the folds that are judged on nothing of a target, or on fewer than half of its steps.

    A step is judged where it has an actual and a forecast: a window that production would refuse
    has none.

    Args:
        result: The backtest.
        folds: How many folds were planned.
    """
    lines = []
    for number in range(folds):
        windows = np.flatnonzero(result.fold == number)
        if not len(windows):
            lines.append(
                f"backtest: fold {number + 1} of {folds} has no series with an actual at "
                "its origin: it is not judged"
            )
            continue
        where = f"backtest: fold {number + 1} of {folds} (origin {result.origins[windows[0]]})"
        for t, target in enumerate(result.schema.targets):
            actual = np.isfinite(result.actual[windows, :, t])
            has_actual = actual & np.isfinite(result.forecast[windows, :, t, 0])
            if not has_actual.any():
                lines.append(
                    f"{where} has no {'forecast' if actual.any() else 'actual'} of "
                    f"'{target}': it is not judged"
                )
            elif has_actual.sum() * 2 < has_actual.size:
                lines.append(
                    f"{where} is judged on {has_actual.sum()} of {has_actual.size} steps of "
                    f"'{target}'"
                )
    return lines


#: A smaller share of rows without a scale is the beginning of each series, and nobody's mistake.
_FEW = 0.1


def without_scale(panel: Panel, scales: Mapping[str, str]) -> list[str]:
    """Count the rows that are not learned from because the scale of their target is null.

    Args:
        panel: What is learned from.
        scales: By target the column that it is divided by (``model.scale``).
    """
    lines = []
    for target, column in scales.items():
        if target not in panel.past_names or column not in panel.past_names:
            continue  # the model says so
        known = np.isfinite(panel.past[:, panel.past_names.index(target)])
        null = known & ~np.isfinite(panel.past[:, panel.past_names.index(column)])
        if null.sum() > _FEW * known.sum():
            lines.append(
                f"model.scale.{target}: '{column}' is null in {null.sum():,} of {known.sum():,} "
                "rows, which are not learned from; choose a scale that is known earlier, such as "
                "an expanding mean"
            )
    return lines


def outside_domain(panel: Panel, schema: Schema) -> list[str]:
    """Count the actuals that the declared domain says cannot be (``panel.bounds``, ``zero_when``,
    ``rounded``): no forecast will ever say so.

    Args:
        panel: What is learned from.
        schema: What the pair will answer.
    """
    domain = Domain(schema)
    rules = (
        f"panel.bounds and panel.rounded say {_declared(schema)}",
        f"panel.zero_when says 0 with {dict(schema.zero_when)}",
    )
    counts = np.zeros((len(schema.targets), len(rules)), dtype=np.int64)
    examples: dict[tuple[int, int], float] = {}
    for rows in blocks(len(panel)):
        actual = panel.past[rows, None, : len(schema.targets), None]
        is_ruled = domain.ruled(panel.known[rows, None, :])[..., None, None]
        for r, values in enumerate((domain.settle(actual, None), np.where(is_ruled, 0.0, actual))):
            differs = ((values != actual) & np.isfinite(actual))[:, 0, :, 0]
            counts[:, r] += differs.sum(axis=0)
            for t in np.flatnonzero(differs.any(axis=0)).tolist():
                examples.setdefault((t, r), actual[differs[:, t].argmax(), 0, t, 0])
    return [
        f"{rules[r]}: {counts[t, r]:,} of {len(panel):,} rows of '{schema.targets[t]}' are not so, "
        f"such as {examples[t, r]:g}; forecasts will be"
        for t, r in sorted(examples)
    ]


def idle_states(panel: Panel, schema: Schema) -> list[str]:
    """Name the states of ``panel.zero_when`` that no row has: such a rule settles nothing.

    Args:
        panel: What is learned from.
        schema: What the pair will answer.
    """
    lines = []
    for column, value in schema.zero_when.items():
        rows = panel.known[:, panel.known_names.index(column)]
        if not (rows == value).any():
            lines.append(
                f"panel.zero_when.{column}: no row has {value:g}, {_span(rows)}; the rule changes "
                "no forecast of the backtest; correct the value if it is wrong"
            )
    return lines


def _span(rows: Float64) -> str:
    known = rows[np.isfinite(rows)]
    return f"they lie between {known.min():g} and {known.max():g}" if len(known) else "all are null"


def _declared(schema: Schema) -> str:
    return f"{dict(schema.bounds)}, whole numbers {list(schema.rounded)}"


def lost_to_baseline(
    result: BacktestResult, model: str, baseline: str, *, by_auto: bool = False
) -> list[str]:
    """Say of which targets the baseline's mean absolute error is smaller than the model's.

    Args:
        result: The backtest.
        model: The name of the model's component.
        baseline: The name of the baseline's.
        by_auto: Whether ``model=auto`` chose the model, which is then no advice.
    """
    advice = (
        f"the choice on earlier origins did not hold here; model={baseline} is the simpler forecast"
        if by_auto
        else "try model=auto, or model.seasonal_lags with model.difference and model.scale"
    )
    choices = result.baseline_choices()
    return [
        f"backtest: '{target}': the baseline {baseline}{in_brackets(choices.get(target, {}))} "
        f"beats model={model}: MAE "
        f"{sides['baseline']['MAE']:.6g} against {sides['model']['MAE']:.6g}; {advice}"
        for target, sides in result.metrics().items()
        if sides["model"]["MAE"] > sides["baseline"]["MAE"]
    ]


def not_answered(panel: Panel, features: FeatureSet, schema: Schema) -> list[str]:
    """Say of how many series the newest window gets no forecast, because of a stale view or a
    missing feature.

    A plan that is not stored for the steps ahead is found here, at training, and not by the first
    request.
    """
    words: Counter[str] = Counter()
    details: dict[str, str] = {}
    for start in range(0, len(panel.entities), _PIECE):
        entities: Sequence[Sequence[str]] | Objects = panel.entities[start : start + _PIECE]
        context = stored_context(panel, features, schema, entities, None, None)
        for j, status in enumerate(context.status):
            if status in (MISSING_FEATURE, STALE):
                words[status] += 1
                details.setdefault(
                    status,
                    f"{dict(zip(panel.entity_keys, entities[j], strict=True))}: "
                    f"{context.detail[j]}",
                )
    return [
        f"{count} of {len(panel.entities)} series get no forecast from their newest actual "
        f"({status}), such as {details[status]}"
        for status, count in words.items()
    ]
