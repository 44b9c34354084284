"""``run=tune``: search the declared space, register the best configuration as a pair, write it as
an experiment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.options import TuneOptions
from framework.runs.steps.register import train_pair
from framework.runs.steps.search import TRAINED, search_best
from framework.tuning.space import substituted


def tune(run: Run) -> dict[str, Any]:
    """Search for the best configuration. Interrupted, it keeps its trials and registers nothing."""
    config, options = run.config, run.options
    assert isinstance(options, TuneOptions)
    registry: Registry | None = run.make("registry") if options.register_best else None
    if registry is not None:
        registry.check_options()
    root = config.paths.state / "tune" / config.name
    result = {**search_best(run, root, resume=options.resume), "pair": None}
    if result["interrupted"]:
        run.say("tune: interrupted; resume=true goes on, nothing was registered")
        return result
    if registry is None:
        return result
    run.say("tune: refit the best configuration and register it")
    values = {**result["best"]["params"], **TRAINED}
    best_run = replace(run, config=substituted(config.text, values, run.plugins))
    return {**result, **train_pair(best_run, registry)}
