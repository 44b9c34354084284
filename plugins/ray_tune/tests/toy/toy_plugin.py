"""A plugin that worker processes find by its entry point: a model whose error, time and faults are
its options.
"""

from __future__ import annotations

from typing import Any, Literal

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class ToyOptions(Options):
    """It forecasts ``level + bonus``. ``seconds`` of one core a fit; ``fault``: what goes wrong in
    it (``eat``: it fills 8 GiB).
    """

    level: float = 0.0
    bonus: float = 0.0
    kind: Literal["plain", "bonus"] = "plain"
    seconds: float = 0.0
    fault: Literal["none", "nan", "raise", "hang", "die", "threads", "memory", "eat"] = "none"


@hookimpl
def components() -> list[Component]:
    return [
        Component("model", "toy", "toy_parts:ToyModel", ToyOptions),
        Component("registry", "toy", "toy_parts:ToyRegistry"),
    ]


@hookimpl
def trial_finished(run: Any, trial: Any, config: str) -> None:
    with (run.directory / "hooked.txt").open("a") as stream:
        stream.write(f"{trial.number} {trial.status} {'level' in config}\n")
