"""``run=predict``: forecasts of a registered pair to Parquet, from the rows that training reads or
from a file of rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from framework.data.anchors import explain_off_grid, off_grid
from framework.data.canonical_text import canonical_text
from framework.data.fingerprint import ahead_fingerprint, panel_fingerprint
from framework.data.known_values import unseen_lines, without_list
from framework.data.time import parse_time, to_numpy
from framework.errors import ConfigError, DataError
from framework.ingestion.source_changes import source_changes
from framework.interfaces.registry import Registry
from framework.pairs.batch_scoring import WindowSource, score
from framework.pairs.loading import LoadedPair, load_pair
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.freshness import utc_now
from framework.retrieval.rows_file import RowsFile
from framework.retrieval.stored_panel import PanelWindows
from framework.runs.options import PredictOptions
from framework.runs.steps.answered import check_answered
from framework.runs.steps.references import pair_reference
from framework.runs.steps.row_memory import check_rows


def predict(run: Run) -> dict[str, Any]:
    """One origin (``at``, default: each series' newest step), all series or ``predict.entities``;
    or the windows of ``predict.rows``.
    """
    config = run.config
    options: PredictOptions = run.options
    registry: Registry = run.make("registry")
    other = None if options.pair == "latest" else options.pair
    reference = pair_reference(config, "latest", **{"predict.pair": other})
    loaded_pair = load_pair(
        registry, run.plugins, config.name, reference, options.device, "predict.device"
    )
    check_answered(run, lambda: loaded_pair.config)
    windows, identity = (
        _from_file(run, loaded_pair) if options.rows else _from_store(run, loaded_pair)
    )
    output = (
        options.output or run.directory / "forecast.parquet"
    ).resolve()  # workers may be in another folder
    size = options.piece
    pair, schema = loaded_pair.version, loaded_pair.pair.schema
    scored = score(
        loaded_pair.pair,
        windows,
        size,
        output,
        {"pair": pair.digest, "device": loaded_pair.device, **identity},
        run.make("compute"),
        run.say,
    )
    warnings = [*without_list(schema), *unseen_lines(scored.unseen, scored.windows)]
    for line in warnings:
        run.say(f"predict: {line}")
    if not options.rows:
        warnings += source_changes(config, lambda: run.make("source"), run.say)
    if scored.failed:
        run.say(
            f"predict: {scored.failed} of {scored.windows} windows have no forecast; column "
            "status says why"
        )
    return {
        "output": str(output),
        "rows": scored.rows,
        "pair": {"name": pair.name, "version": pair.version, "digest": pair.digest},
        "device": loaded_pair.device,
        "warnings": warnings,
    }


def _from_store(run: Run, pair: LoadedPair) -> tuple[WindowSource, dict[str, Any]]:
    config, schema = run.config, pair.pair.schema
    if config.panel.frequency != schema.frequency:
        raise ConfigError(
            f"panel.frequency: pair {config.name} version {pair.version.version} was trained on "
            f"steps of {schema.frequency}, the experiment has {config.panel.frequency}; set "
            f"panel.frequency={schema.frequency}, or train again."
        )
    features = Features(config, run.make("retrieval"))
    check_rows(run, features, fits=False)
    panel = features.panel(horizon=schema.horizon)
    names = panel.past_names + panel.known_names
    if names != schema.past + schema.known or panel.static_names != schema.static:
        which = f"{config.name} version {pair.version.version}"
        raise DataError(
            f"pair {which} was trained on columns {schema.past + schema.known}, the "
            f"experiment gives {names}; train again."
        )
    selection = run.options.entities
    entities = (
        panel.entities
        if selection is None
        else [
            tuple(canonical_text(e.get(k, "")) or "" for k in schema.entity_keys) for e in selection
        ]
    )
    if not len(entities):
        raise ConfigError("predict.entities: none is given; null is all.")
    at = to_numpy(parse_time(config.at, "at")) if config.at else None
    if at is not None and off_grid(schema, np.array([at]))[0]:
        raise ConfigError(f"at: {explain_off_grid(schema, at)}.")
    now = utc_now() if at is None else None
    return PanelWindows(panel, config.features, schema, entities, at, now), {
        "panel": panel_fingerprint(panel),
        "ahead": ahead_fingerprint(panel),
        "views": config.features.model_dump_json(),
        "entities": [list(e) for e in entities],
        "at": config.at,
    }


def _from_file(run: Run, pair: LoadedPair) -> tuple[WindowSource, dict[str, Any]]:
    options: PredictOptions = run.options
    path = Path(options.rows or "").resolve()
    future = None if options.future is None else Path(options.future).resolve()
    identity = {"rows": _stamp(path), "future": future and _stamp(future)}
    return RowsFile(path, pair.pair.schema, future), identity


def _stamp(path: Path) -> list[Any]:
    """Changes with the file."""
    stat = path.stat()
    return [str(path), stat.st_size, stat.st_mtime_ns]
