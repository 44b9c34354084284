"""``run=train``: backtest, fit on everything, register the pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from framework.evaluate import evaluate
from framework.fit import fit_pair
from framework.golden import Golden
from framework.interfaces.registry import PairDraft, Registry
from framework.interfaces.values import OK
from framework.pair import Pair
from framework.pairing import write_pair
from framework.panel import Panel
from framework.provenance import requirements
from framework.run import Run

#: Windows that travel with a pair as its golden batch, and how far their forecasts may differ elsewhere (relative).
GOLDEN_WINDOWS = 8
GOLDEN_TOLERANCE = 1e-5


def train(run: Run) -> dict[str, Any]:
    config = run.config
    registry: Registry = run.make("registry")
    evaluation = evaluate(run)
    panel, schema = evaluation.panel, evaluation.schema
    run.say(f"fit on all rows up to {panel.times.max()}")
    pair = fit_pair(panel, schema, run.make("preprocessor"), run.make("model"), config.validation.steps, config.seed)
    directory = run.directory / "pair"
    names = {half: config.component(half).name for half in ("preprocessor", "model")}
    write_pair(directory, pair, names, golden_batch(pair, panel), evaluation.result.table())
    draft = PairDraft(directory / "preprocessor", directory / "model", schema, config.text, requirements(pair.preprocessor, pair.model))
    version = registry.register(draft, run.id)
    run.plugins.hook.pair_registered(run=run, pair=version)
    run.say(f"registered pair {version.name} version {version.version}, digest {version.digest[:12]}")
    return {"pair": {"name": version.name, "version": version.version, "digest": version.digest}, **evaluation.body}


def golden_batch(pair: Pair, panel: Panel) -> Golden:
    """The newest window of up to :data:`GOLDEN_WINDOWS` series spread over the panel, and its forecast."""
    spread = np.unique(np.linspace(0, len(panel.entities) - 1, GOLDEN_WINDOWS).astype(np.int64))
    context = panel.context(pair.schema, panel.entities[spread], None)
    usable = np.array([i for i, status in enumerate(context.status) if status == OK], dtype=np.int64)
    context = context.take(usable)
    return Golden(context, pair.forecast(context).values, GOLDEN_TOLERANCE)
