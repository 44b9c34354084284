"""The retraining that an alert of ``run=monitor`` starts: a new pair, its gate beside what was
served, and the move of an alias.

Each attempt is kept in a file before it begins and after each step. A run that finds one unfinished
goes on with it: a killed process starts no second training for the same alert.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import DataError, FrameworkError, RefusedError
from framework.evaluation.gate import check_candidate
from framework.files import LockedError, atomic_write, exclusive
from framework.interfaces.registry import Check, PairVersion, Registry
from framework.monitoring.served import Served
from framework.pairs.artifacts import BACKTEST
from framework.pairs.loading import open_proven
from framework.plugins.run import Run
from framework.runs.options import RetrainOptions
from framework.runs.steps.aliases import current, move
from framework.runs.steps.automatic import settled
from framework.runs.steps.register import train_pair

if TYPE_CHECKING:
    import pandas as pd

#: Forecasts that the candidate's backtest and what was served must have in common, of a target.
LEAST = 20
_UNFINISHED = ("started", "registered")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining.

    ``alert``: name, labels and since when, of what started it. ``change``: the estimated origin of
    the change, None where the alert is not about drift. ``status``: ``started``, ``registered``,
    then ``promoted``, ``refused`` or ``failed``. ``run_id``: of the run that trains, None before
    the training begins. ``newest``: the newest version of a pair at that time; what a run by a
    schedule registered for an earlier alert has the same ``run_id``.
    """

    alert: dict[str, Any]
    change: str | None
    started: str
    status: str
    run_id: str | None = None
    newest: int = 0
    version: int | None = None
    detail: str | None = None

    @property
    def key(self) -> str:
        return _key(self.alert)


def retrain(
    run: Run,
    body: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    served: Mapping[str, Served],
    warnings: list[str],
) -> dict[str, Any] | None:
    """Train a new pair when an alert of ``monitor.retrain.alerts`` fires, or finish what was begun.

    Args:
        run: Its options say which alerts, and what limits there are.
        body: The result of ``run=monitor`` so far, with its alerts.
        reports: Of every arm and pair.
        served: The forecasts of the pair that each arm serves, with their actuals.
        warnings: Grows by what is doubtful.

    Returns:
        ``status`` (``waiting``, ``elsewhere``, ``promoted``, ``refused`` or ``failed``), ``alert``,
        ``pair``, ``alias``, ``detail``; None where nothing is to be done.

    Raises:
        DataError: The file of the attempts is damaged.
    """
    options: RetrainOptions = run.options.retrain
    if not options.alerts:
        return None
    path = run.config.paths.state / "monitoring" / f"{run.config.name}.retrain.json"
    try:
        with exclusive(path.with_suffix(".lock"), "the retraining", limit=0):
            attempts = _still_needed(_read(path), body["alerts"], options, datetime.now(UTC))
            attempt = next((one for one in attempts if one.status in _UNFINISHED), None)
            if attempt is None:
                alert = _due(body["alerts"], options, attempts)
                if alert is None:
                    return None
                until = _held_until(options, attempts, datetime.now(UTC))
                if until is not None:
                    return _result("waiting", alert, options, detail=f"until {until}")
                change = _change(alert, body, reports)
                attempt = Attempt(alert, change, _now(), "started")
            return _Work(run, options, path, attempts, attempt, served, warnings).finish()
    except LockedError as error:
        return _result("elsewhere", None, options, detail=str(error))


@dataclass(slots=True)
class _Work:
    run: Run
    options: RetrainOptions
    path: Path
    attempts: list[Attempt]
    attempt: Attempt
    served: Mapping[str, Served]
    warnings: list[str]

    def finish(self) -> dict[str, Any]:
        registry: Registry = self.run.make("registry")
        try:
            pair = self._trained(registry)
            return self._decide(registry, pair, self._checks(registry, pair))
        except FrameworkError as error:
            self._keep(status="failed", detail=str(error))
            self.warnings.append(
                f"monitor.retrain: {error} The alert is tried again after monitor.retrain.cooldown."
            )
            return _result("failed", self.attempt.alert, self.options, detail=str(error))

    def _keep(self, **changed: Any) -> None:
        """Write the attempt as it is now, in the place of what was written of it."""
        self.attempt = replace(self.attempt, **changed)
        mark = (self.attempt.key, self.attempt.started)
        others = [one for one in self.attempts if (one.key, one.started) != mark]
        with atomic_write(self.path) as stream:
            stream.write(
                json.dumps([asdict(one) for one in (*others, self.attempt)], indent=1).encode()
            )

    def _trained(self, registry: Registry) -> PairVersion:
        """The pair of this attempt: one that was registered before a kill, or a new one."""
        name = self.run.config.name
        pairs = registry.pairs(name)
        pair = next((one for one in pairs if self._is_ours(one)), None)
        if pair is None:
            newest = max((one.version for one in pairs), default=0)
            self._keep(status="started", run_id=self.run.id, newest=newest, version=None)
            alert = self.attempt.alert
            self.run.say(f"retrain: alert {alert['name']} {alert['labels']}: training")
            # ``start`` is of the ledger here; a run by a schedule may train more than once
            config = self.run.config.model_copy(update={"run": "train", "start": None})
            directory = Path(mkdtemp(prefix="retrain-", dir=self.run.directory))
            training = replace(self.run, config=config, directory=directory)
            training, _, panel = settled(training)
            version = train_pair(training, registry, panel)["pair"]["version"]
            pair = registry.resolve(name, str(version))
        self._keep(status="registered", version=pair.version)
        return pair

    def _is_ours(self, pair: PairVersion) -> bool:
        attempt = self.attempt
        if attempt.version is not None:
            return pair.version == attempt.version
        return pair.run_id == attempt.run_id and pair.version > attempt.newest

    def _checks(self, registry: Registry, pair: PairVersion) -> list[Check]:
        import pandas as pd

        try:
            files = registry.fetch(pair)
            schema = open_proven(files, self.run.plugins).pair.schema
        except RefusedError as error:
            return [Check("proof", False, None, None, str(error))]
        table = pd.read_parquet(files.model / BACKTEST)
        served = self._served()
        return [
            Check("proof", True, None, None, "every byte proven, golden batch replayed"),
            *check_candidate(self.run.config.gate, table, None, schema.entity_keys),
            *against_served(
                table,
                served_table(served, schema.entity_keys, schema.targets),
                schema.entity_keys,
                since=self.attempt.change,
                gains={self.attempt.alert["labels"].get("target", ""): self.options.gain},
                margin=self.run.config.gate.margin,
            ),
        ]

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

    def _decide(
        self, registry: Registry, pair: PairVersion, checks: Sequence[Check]
    ) -> dict[str, Any]:
        """Move the alias or refuse; the history of the pairs has cause and verdict."""
        options, alert, name = self.options, self.attempt.alert, self.run.config.name
        failed = [check for check in checks if not check.passed]
        verdict = {
            "passed": not failed,
            "forced": False,
            "candidate": pair.version,
            "incumbent": None,
            "checks": [check.as_dict() for check in checks],
            "alert": {**alert, "change": self.attempt.change},
        }
        for check in checks:
            state = "passed" if check.passed else "FAILED"
            self.run.say(f"retrain: {state}: {check.check}: {check.detail}")
        before = current(registry, name, options.alias)
        if failed:
            detail = "; ".join(f"{check.check}: {check.detail}" for check in failed)
            registry.refuse(name, options.alias, pair.version, detail, verdict)
            self._keep(status="refused", detail=detail)
        else:
            detail = f"retrained: alert {alert['name']} {alert['labels']} since {alert['since']}"
            if before is None or before.version != pair.version:
                move(self.run, registry, options.alias, pair, before, detail, verdict)
            self._keep(status="promoted", detail=detail)
        return _result(self.attempt.status, alert, options, pair, detail)


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
    on = [*keys, "origin", "step", "target"]
    known = candidate[candidate[["actual", "mean"]].notna().all(axis=1)]
    common = known.merge(served, on=on, suffixes=("", "_served"))
    if since is not None:
        common = common[common["origin"] >= np.datetime64(since).astype("M8[us]").astype(str) + "Z"]
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
        actual = rows["actual"].to_numpy()
        new = float(np.abs(rows["mean"].to_numpy() - actual).mean())
        old = float(np.abs(rows["mean_served"].to_numpy() - actual).mean())
        gain = gains.get(target, gains.get(""))
        limit = old * (1 + margin if gain is None else 1 - gain)
        detail = f"{new:.6g}, served {old:.6g}, at most {limit:.6g}, over {len(rows)} forecasts"
        checks.append(Check(check, new <= limit, new, limit, detail))
    return checks


def _due(
    alerts: Sequence[Mapping[str, Any]], options: RetrainOptions, attempts: Sequence[Attempt]
) -> dict[str, Any] | None:
    """Find the first firing alert that may start a training and has started none. After those come
    the ones whose training failed.
    """
    states = {one.key: one.status for one in attempts}
    causes = [
        _cause(one) for one in alerts if one["state"] == "firing" and one["name"] in options.alerts
    ]
    for state in (None, "failed"):
        for cause in causes:
            if states.get(_key(cause)) == state:
                return cause
    return None


def _cause(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {key: alert[key] for key in ("name", "labels", "since")}


def _key(cause: Mapping[str, Any]) -> str:
    return json.dumps(cause, sort_keys=True)


def _still_needed(
    attempts: Sequence[Attempt],
    alerts: Sequence[Mapping[str, Any]],
    options: RetrainOptions,
    now: datetime,
) -> list[Attempt]:
    """Leave out the attempts that neither an alert nor a limit asks for any more."""
    known = {_key(_cause(alert)) for alert in alerts}
    oldest = now - max(options.cooldown, timedelta(days=1))
    return [
        one
        for one in attempts
        if one.status in _UNFINISHED
        or one.key in known
        or datetime.fromisoformat(one.started) >= oldest
    ]


def _held_until(options: RetrainOptions, attempts: Sequence[Attempt], now: datetime) -> str | None:
    """Say when the next training may begin, None for now."""
    times = sorted(datetime.fromisoformat(one.started) for one in attempts)
    waits = [times[-1] + options.cooldown] if times else []
    if len(times) >= options.per_day:
        waits.append(times[-options.per_day] + timedelta(days=1))
    until = max(waits, default=now)
    return None if until <= now else until.isoformat(timespec="seconds")


def _change(
    alert: Mapping[str, Any], body: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]
) -> str | None:
    """Estimate the origin of the change: where the evidence of an alarm began its last rise."""
    arm, target = alert["labels"].get("arm"), alert["labels"].get("target")
    starts = []
    for report in reports:
        if report["arm"] != arm or report["version"] != body["serving"][arm]["version"]:
            continue
        for finding in report["drift"]:
            if finding["target"] == target and finding["verdict"] == "alarm":
                before = [point for point in finding["path"] if point[0] <= finding["since"]]
                starts.append(min(reversed(before), key=lambda point: point[1])[0])
    return min(starts, default=None)


def _result(
    status: str,
    alert: Mapping[str, Any] | None,
    options: RetrainOptions,
    pair: PairVersion | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    return {
        "status": status,
        "alert": alert,
        "pair": None
        if pair is None
        else {"name": pair.name, "version": pair.version, "digest": pair.digest},
        "alias": options.alias,
        "detail": detail,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(path: Path) -> list[Attempt]:
    if not path.is_file():
        return []
    try:
        return [Attempt(**one) for one in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: no file of retrainings ({error}); move it away.") from error
