"""Fitting a pair on everything and registering it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from framework.data.fingerprint import panel_fingerprint
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.time import to_numpy
from framework.data.vocabulary import OK
from framework.errors import DataError
from framework.interfaces.registry import PairDraft, Registry
from framework.models.progress import fitting
from framework.pairs.admission import admit
from framework.pairs.artifacts import Evidence, write_pair
from framework.pairs.fit import fit_pair
from framework.pairs.golden import Golden
from framework.pairs.intervals import calibrate
from framework.pairs.manifest import HALVES
from framework.pairs.pair import Pair
from framework.pairs.provenance import requirements
from framework.plugins.run import Run, tell
from framework.runs.steps.evaluate import evaluate
from framework.runs.steps.prepare_data import lengthen_store

#: Windows that travel with a pair as its golden batch, and how far their forecasts may differ
#: elsewhere (relative).
GOLDEN_WINDOWS = 8


GOLDEN_TOLERANCE = 1e-5


def train_pair(run: Run, registry: Registry, panel: Panel | None = None) -> dict[str, Any]:
    """Backtest ``run.config``, fit it on everything, register; the body of the result. ``panel``:
    as :func:`framework.runs.steps.evaluate.evaluate` takes it.
    """
    evaluation = evaluate(run, panel=panel)
    lengthen_store(run, run.make("retrieval"))
    since = run.config.panel.since
    rows = "all rows" if since is None else f"the rows since {since:%Y-%m-%d %H:%M}"
    run.say(f"fit on {rows} up to {evaluation.panel.times.max()}")
    draft = draft_pair(
        run, evaluation.panel, evaluation.schema, evaluation.result.table(), run.directory / "pair"
    )
    admit(draft, run.plugins)
    version = registry.register(draft, run.id)
    tell(run, "pair_registered", pair=version)
    run.say(
        f"registered pair {version.name} version {version.version}, digest {version.digest[:12]}"
    )
    pair = {"name": version.name, "version": version.version, "digest": version.digest}
    return {"pair": pair, **evaluation.body, "tracking": run.record.facts.get("tracking")}


def draft_pair(
    run: Run, panel: Panel, schema: Schema, backtest: pd.DataFrame, directory: Path
) -> PairDraft:
    """Fit on all of ``panel`` and write both halves below ``directory``."""
    config = run.config
    learned_rows = panel if config.panel.since is None else _since(panel, config.panel.since)
    with fitting("fit on all rows"):
        pair = fit_pair(
            learned_rows,
            schema,
            run.make("preprocessor"),
            run.make("model"),
            config.validation.steps,
            config.seed,
        )
    warnings = run.record.facts.setdefault("warnings", [])
    for note in pair.model.notes:
        run.say(f"fit: {note}")
        warnings.append(f"fit: {note}")
    trained = frozenset(map(tuple, learned_rows.entities)) if config.panel.new == "refuse" else None
    pair = replace(pair, calibration=calibrate(backtest, schema), trained=trained)
    names = {half: config.component(half).name for half in HALVES}
    data = {"source": run.make("source").fingerprint(), "panel": panel_fingerprint(panel)}
    write_pair(directory, pair, names, Evidence(golden_batch(pair, panel), backtest, data))
    pinned = requirements(pair.preprocessor, pair.model)
    return PairDraft(
        directory / "preprocessor", directory / "model", pair.schema, config.text, pinned
    )


def _since(panel: Panel, first: datetime) -> Panel:
    return panel.between(to_numpy(first), panel.times.max())


def golden_batch(pair: Pair, panel: Panel) -> Golden:
    """Choose windows of up to :data:`GOLDEN_WINDOWS` series spread over the panel, and forecast
    them.

    They are the newest ones. Where none of these is answered, such as before the plan of the steps
    ahead is stored, they lie a horizon earlier, and so on.

    Raises:
        DataError: No window is answered: nothing could prove the pair when it is loaded.
    """
    places = np.unique(np.linspace(0, len(panel.entities) - 1, GOLDEN_WINDOWS).astype(np.int64))
    first, last = panel.offsets[:-1][places], panel.offsets[1:][places] - 1
    contexts = []
    for back in range(GOLDEN_ORIGINS):
        at = panel.times[np.maximum(last - back * pair.schema.horizon, first)]
        contexts.append(pair.admitted(panel.context(pair.schema, panel.entities[places], at)))
    for whole in (True, False):  # rather an earlier window than one whose steps ahead are not known
        for context in contexts:
            unknown = np.isnan(context.known).any(axis=(1, 2)) & whole
            usable = np.flatnonzero((np.array(context.status) == OK) & ~unknown)
            if len(usable):
                batch = context.take(usable)
                return Golden(batch, pair.forecast(batch).values, GOLDEN_TOLERANCE)
    raise DataError(
        f"no window of the newest {GOLDEN_ORIGINS} horizons of {len(places)} series is "
        "answered, so that nothing could prove the pair: "
        f"{contexts[0].status[0]}, {contexts[0].detail[0]}."
    )


#: How many origins, a horizon apart, are tried for them.
GOLDEN_ORIGINS = 8
