"""The offer of the core by its runs. Through the same hook as every plugin."""

from __future__ import annotations

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options
from framework.runs.options import (
    BackupOptions,
    DashboardsOptions,
    DiffOptions,
    InitOptions,
    MaterializeOptions,
    MonitorOptions,
    PredictOptions,
    PromoteOptions,
    RestoreOptions,
    TuneOptions,
    VerifyOptions,
)

_OPTIONS: dict[str, type[Options]] = {
    "backup": BackupOptions,
    "dashboards": DashboardsOptions,
    "diff": DiffOptions,
    "init": InitOptions,
    "materialize": MaterializeOptions,
    "monitor": MonitorOptions,
    "predict": PredictOptions,
    "promote": PromoteOptions,
    "restore": RestoreOptions,
    "tune": TuneOptions,
    "verify": VerifyOptions,
}
#: Each run: what it does, and the keys that it shares with some other runs.
_RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "init": ("make a project from a file of data", ()),
    "ingest": ("read the source, engineer features, store them for training", ()),
    "materialize": (
        "make the newest features available to serving",
        ("start", "at"),
    ),
    "train": ("backtest, fit, register the pair", ("materialize",)),
    "backtest": (
        "rolling-origin backtest and report, nothing registered",
        ("backtest.compare", "materialize"),
    ),
    "tune": (
        "search the space of options, register the best pair, write its experiment",
        ("materialize",),
    ),
    "promote": (
        "move an alias to a pair that passes its gates",
        ("alias", "version", "reason"),
    ),
    "rollback": ("move an alias back to the pair before", ("alias", "version", "reason")),
    "alias": ("point any alias at a proven pair, without a gate", ("alias", "version", "reason")),
    "reproduce": (
        "rebuild a pair from what it recorded and compare every byte",
        ("alias", "version"),
    ),
    "serve": ("serve a proven pair over HTTP", ("alias", "version")),
    "compare": (
        "what the arms of a server answered, beside each other and the actual values",
        ("start",),
    ),
    "monitor": (
        "how good the served forecasts turned out, and whether they drift",
        ("start", "materialize"),
    ),
    "predict": ("forecast to a Parquet file", ("alias", "version", "at")),
    "pairs": ("list the registered pairs", ()),
    "history": ("what happened to a name or an alias, what was live then", ("alias", "at")),
    "diff": ("what changed between two pairs", ("alias", "version")),
    "verify": (
        "prove every pair and the history, repair what an interruption left",
        (),
    ),
    "dashboards": ("write rules of Prometheus and dashboards of Grafana", ()),
    "plugins": ("list what is installed, its options, and what is broken", ()),
    "backup": ("copy the state and the registry while others may write", ()),
    "restore": ("make a backup the state", ()),
    "upgrade": ("bring what an earlier version wrote into the form of this one", ()),
    "prune": ("remove the pairs that the retention does not keep", ()),
}


#: Runs that need no experiment.
_WITHOUT_EXPERIMENT = (
    "backup",
    "dashboards",
    "init",
    "plugins",
    "pairs",
    "history",
    "alias",
    "restore",
    "upgrade",
    "verify",
    "diff",
)


#: What finds that a run cannot succeed, before it begins.
_CHECKS = {
    "ingest": "framework.runs.steps.rehearsal:check_ingestion",
    "train": "framework.runs.steps.rehearsal:check_training",
    "backtest": "framework.runs.backtest:check",
    "tune": "framework.runs.steps.checks:check_tuning",
    "materialize": "framework.runs.steps.checks:check_materialization",
    "predict": "framework.runs.steps.checks:check_prediction",
    "promote": "framework.runs.steps.checks:check_move",
    "rollback": "framework.runs.steps.checks:check_move",
    "alias": "framework.runs.steps.checks:check_move",
    "monitor": "framework.runs.steps.checks:check_monitoring",
    "compare": "framework.runs.steps.checks:check_comparison",
    "reproduce": "framework.runs.steps.checks:check_reproduction",
}


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "run",
            name,
            f"framework.runs.{name}:{name}",
            _OPTIONS.get(name, Options),
            summary=text,
            takes=takes,
            experiment=name not in _WITHOUT_EXPERIMENT,
            check=_CHECKS.get(name),
        )
        for name, (text, takes) in _RUNS.items()
    ]
