"""The common steps of ``train`` and ``backtest``: data ready, backtest with progress, figures and
report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.data.fingerprint import panel_digest
from framework.data.known_values import unseen_in_folds
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.evaluation.as_known import backtest_panel
from framework.evaluation.backtest import Setting, run_backtest
from framework.evaluation.comparison import Ranked
from framework.evaluation.doubts import (
    idle_states,
    lost_to_baseline,
    not_answered,
    outside_domain,
    thin_folds,
    without_actuals,
    without_scale,
)
from framework.evaluation.eligibility import check_covariates, check_resolution, take_part
from framework.evaluation.folds import Fold, holdout_origins
from framework.evaluation.naive_check import lost_to_naive
from framework.evaluation.result import BacktestResult
from framework.ingestion.view_matches import sparse_views
from framework.interfaces.model import Model
from framework.pairs.provenance import git_state, versions
from framework.plugins.components import Components, make_setting
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.fit_size import tell_fit
from framework.runs.steps.prepare_data import fill_store
from framework.runs.steps.rehearsal import rehearse
from framework.runs.steps.row_memory import check_rows
from framework.runs.steps.season_lengths import strongest_naive
from framework.runs.steps.tables import metrics_table


@dataclass(frozen=True, slots=True)
class BacktestedExperiment:
    """A backtested experiment. ``body`` is its part of the run's JSON result."""

    panel: Panel
    schema: Schema
    result: BacktestResult
    body: dict[str, Any]


def evaluate(
    run: Run,
    compare: Callable[[Run, Panel, BacktestResult], dict[str, list[Ranked]]] | None = None,
    panel: Panel | None = None,
) -> BacktestedExperiment:
    """Ingest and materialize when the store is empty, read the panel, backtest, report.

    Args:
        run: The run.
        compare: Backtests other models before the report.
        panel: What the store gives, where it was read before; None reads it.
    """
    config = run.config
    features = Features(config, run.make("retrieval"))
    model: Model = run.make("model")
    rehearse(config, features, run.make("preprocessor"), model)
    if panel is None:
        fill_store(run, features)
        check_rows(run, features, fits=True)
        panel = backtest_panel(features)
    schema = features.schema(panel, model)
    panel_of_all = panel
    panel, series = take_part(panel, schema, config.panel.short, config.validation.steps)
    warnings = check_covariates(schema, model, config.component("model").name, config.panel.unused)
    warnings += check_resolution(panel, schema)
    for line in (
        [f"panel.short={series.policy}: {series.spoken()}"] if series.short else []
    ) + warnings:
        run.say(line)
    if config.quantiles and not schema.quantiles:
        run.say(
            f"model={config.component('model').name} has no quantiles of its own: quantiles "
            f"{list(config.quantiles)} are left out"
        )
    span = f"{panel.times.min()} to {panel.times.max()}"
    run.say(
        f"panel: {len(panel.entities)} series, {len(panel):,} rows, {span}, "
        f"{len(schema.past)} columns"
    )
    tell_fit(run, config.component("model").name, panel, schema, model, run.make("preprocessor"))

    def progress(fold: Fold, total: int) -> None:
        run.say(
            f"backtest: fold {fold.number + 1}/{total}: fit up to {fold.cutoff}, forecast "
            f"from {fold.origin}"
        )

    setting = make_setting(Components(config, run.plugins), panel, schema)
    result = run_backtest(setting, config.backtest, run.make("compute"), progress)
    cutoffs = panel.frequency.shift(result.origins, -config.backtest.gap)
    if not config.backtest.refit:
        cutoffs = np.full_like(cutoffs, cutoffs.min())
    doubts = [
        *sparse_views(panel_of_all, config.features, features.strategy),
        *unseen_in_folds(panel, result.entities, result.origins, cutoffs),
        *without_actuals(
            panel_of_all, features.strategy.entities(config.features).to_numpy(dtype=object)
        ),
        *(f"backtest: {note}" for note in result.notes),
        *thin_folds(result, config.backtest.folds),
        *not_answered(panel, config.features, schema),
        *outside_domain(panel, schema),
        *idle_states(panel, schema),
        *without_scale(panel, getattr(config.component("model").options, "scale", None) or {}),
        *lost_to_baseline(
            result,
            config.component("model").name,
            config.component("baseline").name,
            by_auto="auto" in run.record.facts,
        ),
        *_lost_to_naive(run, setting, result),
    ]
    for line in doubts:
        run.say(line)
    warnings += doubts
    reported = run.record.facts.get("warnings", [])  # by ingestion
    run.record.facts |= {
        "series": len(panel.entities),
        "taken": series.as_dict(result),
        "warnings": [*reported, *warnings],
    }
    if compare is not None:
        run.record.comparison = compare(run, panel, result)
    body = _record(run, panel, result)
    if config.backtest.holdout:
        body["holdout"] = _held_out(run, setting)
    return BacktestedExperiment(panel, schema, result, body)


def _lost_to_naive(run: Run, setting: Setting, result: BacktestResult) -> list[str]:
    """Warn of a stronger naive forecast than the baseline, which the model loses to."""
    strongest = strongest_naive(run.config, run.plugins, setting.panel)
    if strongest is None:
        return []
    name, make = strongest
    model = run.config.component("model").name
    return lost_to_naive(result, setting, run.config.backtest, make, model, name)


def _held_out(run: Run, setting: Setting) -> dict[str, Any]:
    """Judge the model from the origins that no choice has seen; nothing else is made of them."""
    config, panel = run.config, setting.panel
    horizon = config.panel.horizon
    origins = holdout_origins(panel.times, panel.frequency, horizon, config.backtest)

    def progress(fold: Fold, total: int) -> None:
        run.say(f"hold-out: {fold.number + 1}/{total}: forecast from {fold.origin}")

    result = run_backtest(setting, config.backtest, run.make("compute"), progress, origins)
    figures = result.metrics()
    table = run.directory / "holdout.parquet"
    result.table().to_parquet(table, index=False)
    run.record.artifacts.append(table)
    run.record.metrics |= {f"holdout.{name}": value for name, value in flatten(figures).items()}
    run.say(metrics_table(result.schema, figures, result.baseline_choices(), "hold-out"))
    return {
        "origins": [str(origin) for origin in origins],
        "table": str(table),
        "targets": {target: rounded(sides) for target, sides in figures.items()},
    }


def _record(run: Run, panel: Panel, result: BacktestResult) -> dict[str, Any]:
    record, figures = run.record, result.metrics()
    record.backtest = result
    record.facts |= {
        "rows": len(panel),
        "panel_digest": panel_digest(panel),
        "first_step": str(panel.times.min()),
        "last_step": str(panel.times.max()),
        "versions": versions(*run.make("model").requirements),
        "git": git_state(),
    }
    record.metrics |= flatten(figures)
    record.fold_metrics = [
        flatten(result.metrics(result.fold == fold)) for fold in np.unique(result.fold)
    ]
    table = run.directory / "backtest.parquet"
    result.table().to_parquet(table, index=False)
    record.artifacts.append(table)
    page = run.plugins.hook.report(run=run)
    if page is not None:
        record.artifacts.append(page)
    choices = result.baseline_choices()
    run.say(metrics_table(result.schema, figures, choices))
    first = result.schema.targets[0]
    return {
        "baseline": {
            "name": run.config.component("baseline").name,
            **({"choices": choices} if choices else {}),
        },
        "metrics": {
            **rounded(figures[first]),
            "targets": {target: rounded(f) for target, f in figures.items()},
        },
        "report": str(page) if page is not None else None,
        "backtest": str(table),
        "series": record.facts["taken"],
        "warnings": record.facts["warnings"],
    }


def flatten(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """``{"departures.model.MAE": …}``, without what is unknown."""
    return {
        f"{t}.{who}.{m}": v
        for t, sides in figures.items()
        for who, ms in sides.items()
        for m, v in ms.items()
        if np.isfinite(v)
    }


def rounded(sides: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """For people and JSON: six digits, null for what is unknown."""
    return {
        who: {m: float(f"{v:.6g}") if np.isfinite(v) else None for m, v in ms.items()}
        for who, ms in sides.items()
    }
