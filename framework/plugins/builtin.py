"""What the core itself offers: the runs, and computing on this machine. Through the same hook as
every plugin.
"""

from __future__ import annotations

from pydantic import PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options

#: Each run: what it does, and the keys that are of use to it and not to every run.
_RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ingest": ("read the source, engineer features, store them for training", ()),
    "materialize": (
        "make the newest features available to serving",
        ("start", "at", "schedule", "materialize"),
    ),
    "train": ("backtest, fit, register the pair", ("materialize",)),
    "backtest": (
        "rolling-origin backtest and report, nothing registered",
        ("backtest.compare", "materialize"),
    ),
    "tune": (
        "search the space of options, register the best pair, write its experiment",
        ("space", "tune", "resume", "materialize"),
    ),
    "promote": (
        "move an alias to a pair that passes its gates",
        ("alias", "version", "reason", "force"),
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
    "predict": ("forecast to a Parquet file", ("alias", "at", "predict")),
    "pairs": ("list the registered pairs", ()),
    "history": ("what happened to a name or an alias, what was live then", ("alias", "at")),
    "verify": (
        "prove every pair and the history, repair what an interruption left",
        ("what", "verify"),
    ),
    "prune": ("remove the pairs that the retention does not keep", ()),
}


class ProcessesOptions(Options):
    """``workers``: processes, null for as many as the cores have room for with ``threads`` each,
    the threads of the numeric libraries. An explicit ``model.n_jobs`` is per process and wins over
    ``threads``.
    """

    workers: PositiveInt | None = None
    threads: PositiveInt = 1


@hookimpl
def components() -> list[Component]:
    runs = [
        Component("run", name, f"framework.runs.{name}:{name}", summary=text, takes=takes)
        for name, (text, takes) in _RUNS.items()
    ]
    return [
        *runs,
        Component(
            "compute",
            "local",
            "framework.plugins.compute:LocalCompute",
            summary="one after another, in this process",
        ),
        Component(
            "compute",
            "processes",
            "framework.plugins.compute:ProcessesCompute",
            ProcessesOptions,
            "several processes of this machine",
        ),
    ]
