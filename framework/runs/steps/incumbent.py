"""The incumbent of a promotion on the windows of the candidate, so that both are judged by the same
forecasts of the same days.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from framework.config.recorded import recorded_config
from framework.data.arrays import Times
from framework.data.schema import Schema
from framework.evaluation.as_known import backtest_panel
from framework.evaluation.backtest import run_backtest
from framework.evaluation.eligibility import take_part
from framework.evaluation.folds import Fold
from framework.interfaces.registry import ProvenPair
from framework.pairs.artifacts import BACKTEST
from framework.plugins.components import Components, make_setting
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.row_memory import check_rows

if TYPE_CHECKING:
    import pandas as pd


def incumbent_backtest(run: Run, incumbent: ProvenPair, candidate: pd.DataFrame) -> pd.DataFrame:
    """The incumbent's long table of a backtest with every origin of the ``candidate``'s.

    What travels with the incumbent serves when it has these origins. Data have gone on since then
    in most cases: then its recorded configuration is backtested again, from the candidate's
    origins, on today's rows; each forecast is by a fit that knew nothing after its origin. The
    registered incumbent itself cannot be asked: it may have learned from what it would forecast.
    """
    import pandas as pd

    table = pd.read_parquet(incumbent.model / BACKTEST)
    missing_origins = sorted(set(candidate["origin"]) - set(table["origin"]))
    if not missing_origins:
        return table
    label = f"version {incumbent.version.version}"
    run.say(
        f"gate: the backtest of the incumbent, {label}, lacks {len(missing_origins)} of the "
        "candidate's origins: backtested again from these"
    )
    config = recorded_config(incumbent.config, run.config, run.plugins)
    components = Components(config, run.plugins)
    schema = Schema.model_validate_json((incumbent.model / "schema.json").read_text())
    newest = candidate.groupby("fold")[
        "origin"
    ].max()  # series may have steps of their own within one of each other
    origins: Times = np.sort(pd.DatetimeIndex(newest).tz_localize(None).to_numpy().astype("M8[us]"))
    features = Features(config, components.make("retrieval"))
    check_rows(replace(run, config=config), features, fits=True)
    panel = backtest_panel(features, origins)
    panel, _ = take_part(panel, schema, config.panel.short, config.validation.steps)

    def progress(fold: Fold, total: int) -> None:
        run.say(
            f"gate: {label}: fold {fold.number + 1}/{total}: fit up to {fold.cutoff}, "
            f"forecast from {fold.origin}"
        )

    setting = make_setting(components, panel, schema)
    return run_backtest(setting, config.backtest, run.make("compute"), progress, origins).table()
