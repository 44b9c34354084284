"""The data of a backtest as they were known then: one panel for each origin, of the
versions created by its end.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import numpy as np

from framework.data.arrays import Times
from framework.data.panel import Panel
from framework.errors import ConfigError
from framework.evaluation.folds import holdout_origins, plan_folds
from framework.retrieval.features import Features


def backtest_panel(features: Features, origins: Times | None = None) -> Panel:
    """The newest versions of all rows; with ``backtest.as_known`` also, for each origin, what was
    known at its end (``Panel.vintages``).

    Raises :class:`ConfigError` when no view says when its rows became known.
    """
    panel, config = features.panel(), features.config
    if not config.backtest.as_known:
        return panel
    if all(view.created is None for view in config.features.views.values()):
        raise ConfigError(
            "backtest.as_known: no view has a created column (features.views.NAME.created): "
            "what was known is unknown."
        )
    plan = (panel.times, panel.frequency, config.panel.horizon, config.backtest)
    since = config.panel.since
    folds = plan_folds(*plan, origins, since)
    if origins is None and config.backtest.holdout:
        folds += plan_folds(*plan, holdout_origins(*plan), since)
    ends = panel.frequency.over(np.array([fold.origin for fold in folds]))
    return replace(
        panel,
        vintages={
            fold.origin: features.panel(end.item().replace(tzinfo=UTC))
            for fold, end in zip(folds, ends, strict=True)
        },
    )
