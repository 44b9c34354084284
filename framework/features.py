"""The facade: a panel for training and a context for serving.

features = Features(run.config, run.make("retrieval"))
panel = features.panel()
context = await features.context(schema, [{"airport": "JFK", "carrier": "DL"}], at=None)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from framework.config import Config
from framework.errors import ConfigError, DataError, suggest
from framework.frequency import Frequency
from framework.interfaces.model import Model
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.interfaces.values import Context, Schema
from framework.panel import Panel
from framework.stored_panel import Columns, stored_panel


class Features:
    """Features of one experiment through its retrieval strategy."""

    def __init__(self, config: Config, strategy: RetrievalStrategy) -> None:
        self.config = config
        self.strategy = strategy
        self.categories = config.features.categories()
        self.past = past_columns(config)

    def panel(self, known_at: datetime | None = None, horizon: int | None = None) -> Panel:
        """Read the newest version of every row, joined point-in-time, checked; see :mod:`framework.stored_panel`.

        Args:
            known_at: Only versions created at or before it.
            horizon: How many steps ahead known columns are looked up for; None: ``panel.horizon``.
        """
        panel = self.config.panel
        columns = Columns(
            panel.targets,
            self.past,
            panel.known,
            self.categories,
            Frequency.parse(panel.frequency),
            horizon or panel.horizon,
        )
        return stored_panel(self.strategy, self.config.features, columns, panel.gaps, known_at)

    def schema(self, panel: Panel, model: Model) -> Schema:
        """What a pair trained on ``panel`` takes and answers."""
        return make_schema(self.config, panel, model, self.strategy.max_context_length)

    async def context(self, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        """One window per entity, as serving sees it."""
        return await self.strategy.context(self.config.features, schema, entities, at)


def past_columns(config: Config) -> tuple[str, ...]:
    """Numeric columns of a context, the targets first. Raises :class:`ConfigError` for a column that no view has."""
    panel, names = config.panel, config.features.feature_names()
    for target in panel.targets:
        if target not in config.features.views[config.features.primary].feature_names():
            raise ConfigError(
                f"panel.targets: '{target}' is not in the primary view '{config.features.primary}';"
                f"{suggest(target, names)} It has {list(names)}."
            )
    for column in (*(panel.columns or ()), *panel.known):
        if column not in names:
            raise ConfigError(f"panel.columns: feature '{column}' is in no view;{suggest(column, names)} Known: {list(names)}.")
    for column in panel.known:
        if column in panel.targets or column in config.features.categories():
            what = "a target" if column in panel.targets else "a category"
            raise ConfigError(f"panel.known: '{column}' is {what}; a number that is known of the steps ahead is needed, such as a plan.")
    wanted = names if panel.columns is None else panel.columns
    skip = {*panel.targets, *panel.known, *config.features.categories()}
    return (*panel.targets, *(name for name in wanted if name not in skip))


def make_schema(config: Config, panel: Panel, model: Model, limit: int | None) -> Schema:
    """What a pair of ``model`` trained on ``panel`` takes and answers; without quantiles when the model has none of its own.

    ``limit``: the longest context the retrieval strategy gives, None for any.
    """
    context_length = model.context_length(config.panel.season_length)
    if limit is not None and context_length > limit:
        raise ConfigError(
            f"model={config.component('model').name} needs {context_length} steps of history, "
            f"retrieval={config.component('retrieval').name} gives {limit}; "
            "choose retrieval=file, retrieval.read=packed where there is that option, or another model."
        )
    names = (*panel.past_names, *panel.static_names)
    null = [np.isnan(panel.past).any(axis=0), np.equal(panel.static, None).astype(bool).any(axis=0)]  # type: ignore[call-overload]
    nulls = np.flatnonzero(np.concatenate(null))
    return Schema(
        name=config.name,
        entity_keys=panel.entity_keys,
        frequency=panel.frequency.alias,
        targets=config.panel.targets,
        past=panel.past_names,
        nullable=tuple(names[i] for i in nulls),
        known=panel.known_names,
        static=panel.static_names,
        horizon=config.panel.horizon,
        context_length=context_length,
        quantiles=config.quantiles if model.supports_quantiles else (),
    )


def make_needs(config: Config, model: Model) -> Needs:
    """What contexts of a pair of ``model`` need of the rows that are made available to them."""
    panel = config.panel
    return Needs(panel.targets, model.context_length(panel.season_length), panel.frequency)


def parse_time(text: str, where: str) -> datetime:
    """An ISO 8601 time; without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{where}: '{text}' is not an ISO 8601 time, such as 2013-12-24 or 2013-12-24T06:00Z.") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def to_numpy(time: datetime) -> np.datetime64:
    """UTC ``datetime64[us]`` of an aware time."""
    if time.tzinfo is None:
        raise DataError(f"{time} has no time zone.")
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")
