"""``run=monitor``: how good the served forecasts turned out, beside what the backtest promised, and
whether they drift.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.time import format_times, parse_time
from framework.errors import DataError, FrameworkError
from framework.files import atomic_write, exclusive
from framework.interfaces.alert_sink import AlertSink
from framework.interfaces.ledger import Ledger, LedgerCounts, LedgerOptions
from framework.interfaces.registry import Registry
from framework.monitoring.alerts import windows_of
from framework.monitoring.following import excess_by_time, reach
from framework.monitoring.promised import Promise, read_promise, with_before
from framework.monitoring.report import pair_report, report_path
from framework.monitoring.served import (
    Answering,
    Reading,
    Served,
    plain_entities,
    read_served,
    with_actuals,
)
from framework.monitoring.watching import Watched
from framework.pairs.followed_levels import FollowedLevels, levels_path, read_levels
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.alerts import make_sinks, tell
from framework.runs.steps.checks import nothing_served
from framework.runs.steps.findings import SAID, diagnose, find_skew, findings, sentence
from framework.runs.steps.prepare_data import fill_store
from framework.runs.steps.retrain import retrain
from framework.runs.steps.schedule import by_schedule
from framework.runs.steps.tables import monitor_table
from framework.serving.console.page import monitoring_page


def monitor(run: Run) -> dict[str, Any]:
    """Judge what was served, once or with ``schedule`` at the times of a cron expression (UTC)
    until SIGTERM or SIGINT.
    """
    sinks = make_sinks(run)
    return by_schedule(run, lambda _: _once(run, sinks), {})


def _once(run: Run, sinks: Mapping[str, AlertSink]) -> dict[str, Any]:
    """Join the ledger of ``name`` since ``start`` with the offline store, judge and watch. With
    ``ingest.when=always`` the source is ingested, and what is new made available, before that.

    ``live`` and ``backtest`` have the figures of the pair that each arm serves, by target;
    ``pairs`` those of every arm and pair by step, day and series. A firing alarm is no failure of
    the run.

    Raises:
        DataError: Nothing has been served, or no pair of what was served can be read.
    """
    config, options = run.config, run.options
    warnings: list[str] = []
    features = Features(config, run.make("retrieval"))
    if config.ingest.when == "always":
        whole = config.model_copy(update={"start": None})  # ``start`` is of the ledger here
        fill_store(replace(run, config=whole), features)
        warnings += run.record.facts.pop("warnings", [])
    ledger: Ledger = run.make("ledger")
    state = config.paths.state
    since = parse_time(config.start, "start") if config.start else None
    keys, targets = config.features.entity_keys, config.panel.targets
    reading = read_served(ledger, config.name, state, keys, targets, since)
    counts = ledger.counts(config.name, state)
    if not reading.rows:
        raise DataError(nothing_served(run))
    panel = _panel(features, warnings)
    if panel is not None and isinstance(ledger.options, LedgerOptions) and ledger.options.hashed:
        plain_entities(reading, panel.entities, keys, ledger.options.hashed)
    how = Watched(
        Frequency.parse(config.panel.frequency),
        config.panel.season_length,
        options.alpha,
        options.false_share,
        options.review,
        options.anomaly,
    )
    reports, by_answering = {}, {}
    promises = _promises(run, reading.forecasts, warnings)
    if panel is not None:
        promises = {one: with_before(promises[one], panel) for one in promises}
    for answering, promise in promises.items():
        served = reading.forecasts[answering]
        if panel is not None:
            served = with_actuals(served, panel, len(targets))
        report = pair_report(
            answering,
            served,
            promise,
            panel,
            how,
            seed=config.seed,
            series_count=options.worst,
            windows=windows_of(options.alerts.rules),
        )
        reports[answering] = {**report, "failed": reading.failed[answering]}
        by_answering[answering] = served
    levels = _follow(run, by_answering, promises) if options.follow else {}
    skew = None if panel is None else find_skew(run, features, panel, ledger, since, warnings)
    if counts.missing:
        warnings.append(
            f"the ledger lacks {counts.missing} forecasts: a server was killed, or its disk or "
            "queue was full"
        )
    serving = reading.serving(reports)
    serving_promises = [promises[answering] for answering in serving.values()]
    body = {
        **_body(reports, reading, counts),
        "skew": skew,
        "levels": levels,
        "diagnosis": diagnose(reports, reading, panel, how),
        "findings": findings(reading, panel, serving_promises, len(keys), how.frequency),
    }
    warnings += [sentence(one) for one in body["findings"][:SAID]]
    body["alerts"] = tell(run, body, sinks, warnings)
    if options.retrain.alerts:  # a training takes long, and may be killed
        _write(run, {**body, "pairs": list(reports.values())})
    served_now = {arm: by_answering[one] for arm, one in serving.items()}
    body["retrain"] = retrain(run, body, [*reports.values()], served_now, warnings)
    path, page = _write(run, {**body, "pairs": list(reports.values())})
    run.record.metrics |= {
        f"live.{arm}.{target}.{name}": float(value)
        for arm, targets_of_arm in body["live"].items()
        for target, figures in targets_of_arm.items()
        for name, value in figures.items()
    }
    for warning in warnings:
        run.say(f"monitor: {warning}")
    run.say(monitor_table(config.name, list(reports.values())))
    return {**body, "report": str(path), "page": str(page), "warnings": warnings}


def _write(run: Run, body: dict[str, Any]) -> tuple[Path, Path]:
    """Keep what was found for the console, and with the run as JSON and as a page."""
    path, page = run.directory / "monitor.json", run.directory / "monitor.html"
    content = json.dumps(body, indent=1).encode()
    report = report_path(run.config.paths.state, run.config.name)
    for target, text in (
        (path, content),
        (report, content),
        (page, monitoring_page(run.config.name, body).encode()),
    ):
        with atomic_write(target) as stream:
            stream.write(text)
    run.record.artifacts = [*dict.fromkeys((*run.record.artifacts, path, page))]
    return path, page


def _panel(features: Features, warnings: list[str]) -> Panel | None:
    if not features.strategy.has_rows(features.config.features):
        warnings.append("the offline store has no rows, so no actuals; run=ingest reads them")
        return None
    return features.panel()


def _promises(
    run: Run, by_pair: dict[Answering, Served], warnings: list[str]
) -> dict[Answering, Promise]:
    """Read what each pair promised. A pair that is gone from the registry is told and left out."""
    registry: Registry = run.make("registry")
    versions = {pair.version: pair for pair in registry.pairs(run.config.name)}
    promises = {}
    for answering, served in by_pair.items():
        arm, version, digest = answering
        pair = versions.get(version)
        if pair is None or pair.digest != digest:
            warnings.append(
                f"arm {arm}: the registry has no pair {version} with the digest {digest[:12]}; "
                "its forecasts are left out"
            )
            continue
        try:
            promise = read_promise(registry.fetch(pair).model)
            path = levels_path(run.config.paths.state, run.config.name, digest)
            followed = read_levels(path, digest, len(promise.schema.targets))
            promises[answering] = replace(promise, followed=followed)
            _tell_unknown(answering, served, followed, warnings)
        except FrameworkError as error:
            warnings.append(f"arm {arm}, pair {version}: {error}; its forecasts are left out")
    if not promises:
        raise DataError(f"nothing can be judged: {'; '.join(warnings)}")
    return promises


def _tell_unknown(
    answering: Answering, served: Served, followed: FollowedLevels, warnings: list[str]
) -> None:
    """Tell which forecasts have levels that nobody knows any more."""
    if served.levels is None:
        return
    unknown = ~np.isin(served.levels, [0, *followed.versions])
    if unknown.any():
        arm, version, _ = answering
        warnings.append(
            f"arm {arm}, pair {version}: the levels of {int(unknown.sum())} forecasts are unknown, "
            "as the file of its levels was removed; their intervals are left out"
        )


def _follow(
    run: Run, forecasts: Mapping[Answering, Served], promises: Mapping[Answering, Promise]
) -> dict[str, int]:
    """Write the levels that follow the misses of each pair, for its servers; by the pair's number
    the version that is in use.
    """
    versions: dict[str, int] = {}
    for digest in dict.fromkeys(answering[2] for answering in promises):
        of_pair = [answering for answering in promises if answering[2] == digest]
        promise = promises[of_pair[0]]
        if promise.calibration is None:
            continue
        arms = [forecasts[answering] for answering in of_pair]
        excess = excess_by_time(arms, promise)
        horizon, own = promise.schema.horizon, promise.calibration.used
        path = levels_path(run.config.paths.state, run.config.name, digest)
        with exclusive(path.with_suffix(".lock"), "the levels of this pair"):
            before = read_levels(path, digest, len(promise.schema.targets))
            followed = before.after(own, excess, horizon, *reach(arms, promise))
            if excess:
                followed.save(path)
        versions[str(of_pair[0][1])] = followed.version
    return versions


def _body(
    reports: dict[Answering, dict[str, Any]], reading: Reading, counts: LedgerCounts
) -> dict[str, Any]:
    origins = np.concatenate([served.origin for served in reading.forecasts.values()])
    ends = format_times(np.array([origins.min(), origins.max()])) if len(origins) else (None, None)
    first, last = ends
    serving = reading.serving(reports)
    lengths = next(iter(reports.values()))["windows"]

    def together(key: str) -> dict[str, Any]:
        return {arm: reports[answering][key] for arm, answering in serving.items()}

    return {
        "window": {"first": first, "last": last, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
        "serving": {
            arm: {"version": version, "digest": digest}
            for arm, (_, version, digest) in serving.items()
        },
        "live": together("live"),
        "backtest": together("backtest"),
        "expected": together("expected"),
        "windows": {
            length: {arm: by_window[length] for arm, by_window in together("windows").items()}
            for length in lengths
        },
        "drift": [
            {key: value for key, value in one.items() if key != "path"}
            for report in reports.values()
            for one in report["drift"]
        ],
        "drifted_series": [one for r in reports.values() for one in r["drifted_series"]],
        "anomalies": together("anomalies"),
        "alerts": [],
        "retrain": None,
        "ledger": {
            "rows": reading.rows,
            "missing": counts.missing,
            "waiting": counts.waiting,
        },
    }
