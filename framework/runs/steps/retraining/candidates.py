"""The pairs that a retraining makes: one of all rows, one of the rows since the change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from framework.data.panel import Panel
from framework.interfaces.registry import PairVersion, ProvenPair, Registry
from framework.plugins.run import Record, Run
from framework.runs.steps.automatic import settled
from framework.runs.steps.register import train_pair
from framework.runs.steps.retraining.attempts import Progress
from framework.runs.steps.search import TRAINED, search_best
from framework.tuning.space import substituted

#: ``start`` is of the ledger in the run at hand.
_OWN: dict[str, Any] = {**TRAINED, "start": None}


@dataclass(slots=True)
class Trainer:
    """Trains each candidate of an attempt once, however often it is killed."""

    run: Run
    registry: Registry
    progress: Progress
    warnings: list[str]

    def on_all_rows(self) -> PairVersion:
        """Train as the run says, with ``monitor.retrain.run=tune`` after a search."""
        pair = self._registered("version")
        if pair is not None:
            return pair
        self._begin("version")
        training, panel = self._configured()
        return self._train("version", training, panel)

    def on_rows_since(self, change: str, whole: ProvenPair, folds: int) -> PairVersion:
        """Train the candidate of all rows once more, on the rows since the change alone.

        Args:
            change: The first step that its fits learn from.
            whole: The candidate of all rows.
            folds: Of its backtest.
        """
        pair = self._registered("recent")
        if pair is not None:
            return pair
        self._begin("recent")
        values = {**_OWN, "panel.since": change, "backtest.folds": folds}
        config = substituted(whole.config, values, self.run.plugins)
        training = replace(self.run, config=config, directory=self._folder(), record=Record())
        return self._train("recent", training, None)

    def _registered(self, field: str) -> PairVersion | None:
        """Find what an earlier process registered for this attempt, whether it knew so or not."""
        attempt = self.progress.attempt
        number = getattr(attempt, field)
        others = {attempt.version, attempt.recent}
        for pair in self.registry.pairs(self.run.config.name):
            if number is None:
                is_ours = (
                    pair.run_id == attempt.run_id
                    and pair.version > attempt.newest
                    and pair.version not in others
                )
            else:
                is_ours = pair.version == number
            if is_ours:
                self.progress.keep(**{field: pair.version})
                return pair
        return None

    def _begin(self, field: str) -> None:
        """Keep by which run and number the pair will be known."""
        versions = [pair.version for pair in self.registry.pairs(self.run.config.name)]
        newest = max(versions, default=0)
        self.progress.keep(run_id=self.run.id, newest=newest, **{field: None})
        alert = self.progress.attempt.alert
        what = {"version": "all rows", "recent": f"rows since {self.progress.attempt.change}"}
        self.run.say(f"retrain: alert {alert['name']} {alert['labels']}: training on {what[field]}")

    def _configured(self) -> tuple[Run, Panel | None]:
        run, attempt = self.run, self.progress.attempt
        if run.options.retrain.run == "train":
            config = substituted(run.config.text, _OWN, run.plugins)
            training = replace(run, config=config, directory=self._folder())
            training, _, panel = settled(training)
            return training, panel
        if attempt.parameters is None:
            config = substituted(run.config.text, {"run": "tune", "start": None}, run.plugins)
            folder = attempt.started.replace(":", "-")
            root = config.paths.state / "tune" / config.name / f"retrain-{folder}"
            searching = replace(run, config=config, directory=self._folder())
            result = search_best(searching, root, resume=any(root.glob("*")))
            if result["interrupted"]:
                raise KeyboardInterrupt  # the attempt is unfinished: the next run goes on with it
            self.progress.keep(parameters=result["best"]["params"])
        values = {**(self.progress.attempt.parameters or {}), **_OWN}
        config = substituted(run.config.text, values, run.plugins)
        return replace(run, config=config, directory=self._folder()), None

    def _train(self, field: str, training: Run, panel: Panel | None) -> PairVersion:
        version = train_pair(training, self.registry, panel)["pair"]["version"]
        doubts = training.record.facts.pop("warnings", [])
        self.warnings += [f"monitor.retrain: version {version}: {line}" for line in doubts]
        self.progress.keep(**{field: version})
        return self.registry.resolve(self.run.config.name, str(version))

    def _folder(self) -> Path:
        """A run by a schedule may train more than once."""
        return Path(mkdtemp(prefix="retrain-", dir=self.run.directory))
