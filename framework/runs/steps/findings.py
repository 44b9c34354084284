"""The findings of ``run=monitor`` beside its figures: skew, changes, dead sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.errors import FrameworkError
from framework.interfaces.ledger import Ledger, LedgerOptions
from framework.monitoring import diagnosis
from framework.monitoring.feature_parity import audit
from framework.monitoring.promised import Promise
from framework.monitoring.served import Answering, Reading
from framework.monitoring.served_features import served_skew
from framework.monitoring.watching import Watched
from framework.plugins.run import Run
from framework.retrieval.features import Features

#: Findings that are told as warnings.
SAID = 20


def diagnose(
    reports: dict[Answering, dict[str, Any]],
    reading: Reading,
    panel: Panel | None,
    how: Watched,
) -> list[dict[str, Any]]:
    """Name what changed: features since the first origin, forecasts and errors of serving pairs."""
    results = [
        {"arm": arm, **one}
        for arm, answering in reading.serving(reports).items()
        for one in reports[answering]["diagnosis"]
    ]
    origins = [served.origin for served in reading.forecasts.values() if len(served)]
    if panel is None or not origins:
        return results
    since = min(one.min() for one in origins)
    of_features = diagnosis.features(panel, since, how.frequency, how.season)
    return [{"arm": None, **one} for one in of_features] + results


def findings(
    reading: Reading,
    panel: Panel | None,
    promises: Sequence[Promise],
    keys: int,
    frequency: Frequency,
) -> list[dict[str, Any]]:
    """List new categories, dead sensors and stale features, as they are now.

    Args:
        reading: The ledger. A view is stale when it was for an answer of the last step.
        panel: The rows of the offline store, None when it has none.
        promises: Of the pairs that serve: what an earlier one had not seen is over.
        keys: How many of the panel's static columns are entity keys.
        frequency: Of the steps.
    """
    newest = max(reading.newest.values(), default=np.datetime64("NaT", "us"))
    recent = newest - np.timedelta64(frequency.longest)
    entries: list[dict[str, Any]] = [
        {"finding": "stale_feature", "view": view, "rows": rows}
        for view, (rows, at) in sorted(reading.stale.items())
        if at > recent
    ]
    if panel is None:
        return entries
    categories: dict[tuple[str, str], dict[str, Any]] = {}
    for promise in promises:
        for one in diagnosis.new_categories(panel, promise, keys):
            categories.setdefault((one["feature"], one["value"]), one)
    return [*categories.values(), *diagnosis.dead_sensors(panel), *entries]


def sentence(finding: dict[str, Any]) -> str:
    """Say a finding in a line."""
    if finding["finding"] == "new_category":
        return (
            f"{finding['feature']}: the value '{finding['value']}' of {finding['series']} series "
            f"since {finding['since']} was not seen in training"
        )
    if finding["finding"] == "stale_feature":
        return (
            f"view {finding['view']}: {finding['rows']} rows of the ledger were forecast from one "
            "that was older than its ttl; run=materialize more often"
        )
    value = "null" if finding["value"] is None else f"{finding['value']:g}"
    entity = " ".join(finding["entity"].values())
    return (
        f"{finding['feature']} of {entity} has been {value} for {finding['repeats']} steps since "
        f"{finding['since']}, longer than ever: its sensor may be dead"
    )


def find_skew(
    run: Run,
    features: Features,
    panel: Panel,
    ledger: Ledger,
    since: datetime | None,
    warnings: list[str],
) -> dict[str, Any] | None:
    """Compare what serving reads of some entities with what training reads of them, and what
    forecasts were made from with the rows of the same time; None where neither can be done.
    """
    looked_up = _looked_up(run, features, panel, warnings)
    served = None
    options = ledger.options
    if isinstance(options, LedgerOptions) and options.features == "values":
        config = run.config
        served = served_skew(ledger, config.name, config.paths.state, since, panel, options.hashed)
        if served["different"]:
            warnings.append(
                f"skew: {served['different']} of {served['compared']} forecasts were made from "
                "other values than the offline store has of the same time"
            )
    if looked_up is None and served is None:
        return None
    return {
        **(looked_up or {"entities": 0, "differences": []}),
        **({} if served is None else {"served": served}),
    }


def _looked_up(
    run: Run, features: Features, panel: Panel, warnings: list[str]
) -> dict[str, Any] | None:
    if not run.options.sample or features.strategy.max_context_length == 0:
        return None
    try:
        entities, differences = audit(features, panel, run.options.sample, run.config.seed)
    except FrameworkError as error:
        warnings.append(f"skew is not known: {error}")
        return None
    return {"entities": entities, "differences": [asdict(one) for one in differences]}
