"""The schema of an experiment's pair: its inputs and its forecasts."""

from __future__ import annotations

import numpy as np

from framework.config.config import Config
from framework.data.own_columns import own_columns
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.scratch import blocks
from framework.errors import ConfigError, suggest
from framework.features.operations import Difference
from framework.interfaces.model import Model
from framework.interfaces.retrieval import Needs


def past_columns(config: Config) -> tuple[str, ...]:
    """Numeric columns of a context, the targets first. Raises :class:`ConfigError` for a column
    that no view has.
    """
    panel, names = config.panel, config.features.feature_names()
    for target in panel.targets:
        if target not in config.features.views[config.features.primary].feature_names():
            raise ConfigError(
                f"panel.targets: '{target}' is not in the primary view '{config.features.primary}';"
                f"{suggest(target, names)} It has {list(names)}."
            )
    for column in (*(panel.columns or ()), *panel.known):
        if column not in names:
            raise ConfigError(
                f"panel.columns: feature '{column}' is in no view;{suggest(column, names)} "
                f"Known: {list(names)}."
            )
    for column in panel.known:
        if column in panel.targets or column in config.features.categories():
            what = "a target" if column in panel.targets else "a category"
            raise ConfigError(
                f"panel.known: '{column}' is {what}; a number that is known of the steps "
                "ahead is needed, such as a plan."
            )
    selection = names if panel.columns is None else panel.columns
    skip = {*panel.targets, *panel.known, *config.features.categories()}
    return (*panel.targets, *(name for name in selection if name not in skip))


def make_schema(config: Config, panel: Panel, model: Model, limit: int | None) -> Schema:
    """Make the schema of a pair of ``model`` that is trained on ``panel``.

    It has no quantiles when the model has none of its own.

    ``limit``: the longest context the retrieval strategy gives, None for any.
    """
    context_length = model.context_length(config.panel.season_length)
    least_context = model.least_context(config.panel.season_length)
    if limit is not None and context_length > limit:
        raise ConfigError(
            f"model={config.component('model').name} needs {context_length} steps of history, "
            f"retrieval={config.component('retrieval').name} gives {limit}; "
            "choose retrieval=file, retrieval.read=packed where there is that option, or "
            "another model."
        )
    names = (*panel.past_names, *panel.static_names)
    nulls = np.zeros(len(names), dtype=bool)
    for rows in blocks(len(panel)):
        no_text = np.equal(panel.static[rows], None).astype(bool)  # type: ignore[call-overload]
        nulls |= np.concatenate([np.isnan(panel.past[rows]).any(axis=0), no_text.any(axis=0)])
    cold = config.panel.cold == "forecast"
    if cold:  # such a window's own columns are null
        for places in own_columns(config.panel.targets, panel.past_names):
            nulls[places] = True
    nullable = [names[i] for i in np.flatnonzero(nulls)]
    if _bears_nulls(model):
        null_places = np.flatnonzero(np.isnan(panel.known).any(axis=0))
        changes = _changes(config)
        nullable += [n for n in (panel.known_names[i] for i in null_places) if n in changes]
    return Schema(
        name=config.name,
        entity_keys=panel.entity_keys,
        frequency=panel.frequency.alias,
        targets=config.panel.targets,
        past=panel.past_names,
        nullable=tuple(nullable),
        known=panel.known_names,
        static=panel.static_names,
        horizon=config.panel.horizon,
        context_length=context_length,
        quantiles=config.quantiles if model.supports_quantiles else (),
        bounds={name: (b.lower, b.upper) for name, b in config.panel.bounds.items()},
        zero_when=config.panel.zero_when,
        rounded=config.panel.rounded,
        cold=cold,
        least_context=least_context if least_context < context_length else None,
    )


def _changes(config: Config) -> frozenset[str]:
    """Name the columns that views make as changes, which a young series lacks."""
    return frozenset(
        name
        for view in config.features.views.values()
        for op in view.engineer
        if isinstance(op, Difference)
        for name in op.names()
    )


def _bears_nulls(model: Model) -> bool:
    """Say whether a null in a column known in advance leaves the model its forecast."""
    if model.parts:
        return all(_bears_nulls(part) for part in model.parts)
    return model.forecasts_cold or "future" not in model.covariates


def make_needs(config: Config, model: Model) -> Needs:
    """List the rows that contexts of a pair of ``model`` need to have available."""
    panel = config.panel
    return Needs(panel.targets, model.context_length(panel.season_length), panel.frequency)
