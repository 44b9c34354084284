"""The retraining that an alert of ``run=monitor`` starts: new pairs, their gate beside what was
served, and the move of an alias.

Each attempt is kept in a file before it begins and after each step. A run that finds one unfinished
goes on with it: a killed process starts no second training for the same alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import DataError, FrameworkError, RefusedError
from framework.evaluation.gate import check_candidate
from framework.files import LockedError, exclusive
from framework.interfaces.registry import Check, HistoryEntry, PairVersion, Registry
from framework.monitoring.served import Served
from framework.pairs.artifacts import BACKTEST
from framework.pairs.loading import open_proven
from framework.plugins.run import Run
from framework.runs.options import RetrainOptions
from framework.runs.steps.aliases import current, move
from framework.runs.steps.retraining.attempts import (
    UNFINISHED,
    Attempt,
    Progress,
    begun,
    due,
    held_until,
    read_attempts,
    still_needed,
)
from framework.runs.steps.retraining.candidates import Trainer
from framework.runs.steps.retraining.change import estimated_change
from framework.runs.steps.retraining.readers import reader_lines, reading_pairs
from framework.runs.steps.retraining.verdict import (
    Candidate,
    against_served,
    best_of,
    folds_since,
    served_table,
)

if TYPE_CHECKING:
    import pandas as pd


def retrain(
    run: Run,
    body: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    served: Mapping[str, Served],
    warnings: list[str],
) -> dict[str, Any] | None:
    """Train new pairs when an alert of ``monitor.retrain.alerts`` fires, or finish what was begun.

    Args:
        run: Its options say which alerts, and what limits there are.
        body: The result of ``run=monitor`` so far, with its alerts.
        reports: Of every arm and pair.
        served: The forecasts of the pair that each arm serves, with their actuals.
        warnings: Grows by what is doubtful.

    Returns:
        ``status`` (``waiting``, ``elsewhere``, ``promoted``, ``refused`` or ``failed``), ``alert``,
        ``pair``, ``alias``, ``detail``, ``candidates``, ``readers``; None where nothing is to be
        done.

    Raises:
        DataError: The file of the attempts is damaged.
    """
    options: RetrainOptions = run.options.retrain
    if not options.alerts:
        return None
    path = run.config.paths.state / "monitoring" / f"{run.config.name}.retrain.json"
    try:
        with exclusive(path.with_suffix(".lock"), "the retraining", limit=0):
            attempts = still_needed(read_attempts(path), body["alerts"], options, datetime.now(UTC))
            attempt = next((one for one in attempts if one.status in UNFINISHED), None)
            if attempt is None:
                alert = due(body["alerts"], options, attempts)
                if alert is None:
                    return None
                until = held_until(options, attempts, datetime.now(UTC))
                if until is not None:
                    return _result("waiting", alert, options, detail=f"until {until}")
                attempt = begun(alert, estimated_change(alert, body, reports))
            progress = Progress(path, attempts, attempt)
            return _Work(run, options, progress, served, warnings).finish()
    except LockedError as error:
        return _result("elsewhere", None, options, detail=str(error))


@dataclass(slots=True)
class _Work:
    run: Run
    options: RetrainOptions
    progress: Progress
    served: Mapping[str, Served]
    warnings: list[str]

    @property
    def attempt(self) -> Attempt:
        return self.progress.attempt

    def finish(self) -> dict[str, Any]:
        registry: Registry = self.run.make("registry")
        try:
            entry = self._decided(registry)
            if entry is not None:
                return self._known(registry, entry)
            return self._decide(registry, self._candidates(registry))
        except FrameworkError as error:
            self.progress.keep(status="failed", detail=str(error))
            self.warnings.append(
                f"monitor.retrain: {error} The alert is tried again after monitor.retrain.cooldown."
            )
            return _result("failed", self.attempt.alert, self.options, detail=str(error))

    def _decided(self, registry: Registry) -> HistoryEntry | None:
        """Find the verdict of a process that was killed before it could keep that it had one."""
        if self.attempt.version is None:
            return None
        versions = {self.attempt.version, self.attempt.recent}
        for entry in registry.history(self.run.config.name, self.options.alias):
            cause = (entry.verdict or {}).get("alert")
            if cause == self.attempt.cause and entry.after in versions:
                return entry
        return None

    def _known(self, registry: Registry, entry: HistoryEntry) -> dict[str, Any]:
        status = "refused" if entry.action == "refuse" else "promoted"
        self.progress.keep(status=status, detail=entry.reason)
        pair = registry.resolve(self.run.config.name, str(entry.after))
        verdict = entry.verdict or {}
        if status == "promoted":
            self.warnings += reader_lines(verdict.get("readers", []), pair.name)
        return _result(status, self.attempt.alert, self.options, pair, entry.reason, verdict)

    def _candidates(self, registry: Registry) -> list[Candidate]:
        """The pair of all rows, and that of the rows since the change where there are enough."""
        trainer = Trainer(self.run, registry, self.progress, self.warnings)
        pair = trainer.on_all_rows()
        whole = self._judged(registry, pair, "all rows")
        candidates = [whole]
        change, seasons = self.attempt.change, self.options.recent
        if whole.files is not None and change is not None and seasons is not None:
            try:
                folds = folds_since(whole, self._served_table(), self.run.config, change, seasons)
                if folds:
                    recent = trainer.on_rows_since(change, whole.files, folds)
                    candidates.append(self._judged(registry, recent, f"rows since {change}"))
            except FrameworkError as error:
                self.warnings.append(
                    f"monitor.retrain: no candidate of the rows since {change}: {error}"
                )
        self.progress.keep(status="registered")
        return candidates

    def _judged(self, registry: Registry, pair: PairVersion, rows: str) -> Candidate:
        import pandas as pd

        try:
            files = registry.fetch(pair)
            schema = open_proven(files, self.run.plugins).pair.schema
        except RefusedError as error:
            return Candidate(pair, rows, (Check("proof", False, None, None, str(error)),))
        table = pd.read_parquet(files.model / BACKTEST)
        gate = self.run.config.gate
        checks = (
            Check("proof", True, None, None, "every byte proven, golden batch replayed"),
            *check_candidate(gate, table, None, schema.entity_keys),
            *against_served(
                table,
                self._served_table(),
                schema.entity_keys,
                since=self.attempt.change,
                gains={self.attempt.alert["labels"].get("target", ""): self.options.gain},
                margin=gate.margin,
            ),
        )
        return Candidate(pair, rows, checks, files, schema, table)

    def _served_table(self) -> pd.DataFrame:
        config = self.run.config
        return served_table(self._served(), config.features.entity_keys, config.panel.targets)

    def _served(self) -> Served:
        """Find what the alert's arm served; without an arm, the one with most actuals."""
        arm = self.attempt.alert["labels"].get("arm")
        if arm is None:
            return max(self.served.values(), key=lambda one: np.isfinite(one.actual).sum())
        if arm not in self.served:
            raise DataError(
                f"arm '{arm}', which the alert is about, has no forecasts that can be judged now, "
                f"only {', '.join(self.served) or 'none'} has."
            )
        return self.served[arm]

    def _decide(self, registry: Registry, candidates: Sequence[Candidate]) -> dict[str, Any]:
        """Move the alias or refuse; the history of the pairs has cause and verdicts."""
        options, alert, name = self.options, self.attempt.alert, self.run.config.name
        for one in candidates:
            for check in one.checks:
                state = "passed" if check.passed else "FAILED"
                self.run.say(
                    f"retrain: version {one.pair.version}, {one.rows}: {state}: {check.check}: "
                    f"{check.detail}"
                )
        passing = [one for one in candidates if one.passed]
        best = self._best(passing) if passing else candidates[0]
        verdicts = [one.as_dict() for one in candidates]
        readers = reading_pairs(registry, name, self.warnings)
        verdict = {
            "passed": best.passed,
            "forced": False,
            "candidate": best.pair.version,
            "incumbent": None,
            "checks": [check.as_dict() for check in best.checks],
            "candidates": verdicts,
            "alert": self.attempt.cause,
            "readers": readers,
        }
        if not passing:
            detail = candidates[0].refusal
            if len(candidates) > 1:
                detail = "; ".join(
                    f"version {one.pair.version}, {one.rows}: {one.refusal}" for one in candidates
                )
            registry.refuse(name, options.alias, best.pair.version, detail, verdict)
            self.progress.keep(status="refused", detail=detail)
        else:
            before = current(registry, name, options.alias)
            detail = f"retrained: alert {alert['name']} {alert['labels']} since {alert['since']}"
            if before is None or before.version != best.pair.version:
                move(self.run, registry, options.alias, best.pair, before, detail, verdict)
            self.progress.keep(status="promoted", detail=detail)
            self.warnings += reader_lines(readers, name)
        return _result(self.attempt.status, alert, options, best.pair, detail, verdict)

    def _best(self, candidates: Sequence[Candidate]) -> Candidate:
        keys = self.run.config.features.entity_keys
        return best_of(candidates, self._served_table(), keys, self.attempt.change)


def _result(
    status: str,
    alert: Mapping[str, Any] | None,
    options: RetrainOptions,
    pair: PairVersion | None = None,
    detail: str | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    known = verdict or {}
    return {
        "status": status,
        "alert": alert,
        "pair": None
        if pair is None
        else {"name": pair.name, "version": pair.version, "digest": pair.digest},
        "alias": options.alias,
        "candidates": [
            {key: one[key] for key in ("version", "rows", "passed")}
            for one in known.get("candidates", [])
        ],
        "readers": known.get("readers", []),
        "detail": detail,
    }
