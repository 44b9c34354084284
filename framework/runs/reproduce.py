"""``run=reproduce alias=NAME``: rebuild a pair from what it recorded and say whether it is the
same, or what differs first.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd

from framework.config.recorded import recorded_config
from framework.data.fingerprint import first_difference, panel_fingerprint
from framework.data.schema import Schema
from framework.errors import RefusedError
from framework.evaluation.eligibility import take_part
from framework.interfaces.registry import Registry
from framework.pairs.artifacts import BACKTEST, DATA
from framework.pairs.manifest import HALVES, hash_files
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.references import pair_reference
from framework.runs.steps.register import draft_pair
from framework.runs.steps.row_memory import check_rows


def reproduce(run: Run) -> dict[str, Any]:
    """The pair is ``alias``, or ``version=N``, or the newest. Same source, same panel, same config
    and seed must give the same bytes.
    """
    config = run.config
    registry: Registry = run.make("registry")
    reference = pair_reference(config, "latest")
    original = registry.fetch(registry.resolve(config.name, reference))
    recorded_run = replace(run, config=recorded_config(original.config, config, run.plugins))
    data: dict[str, dict[str, str]] = json.loads((original.model / DATA).read_text())
    which = f"version {original.version.version} of '{config.name}' ({reference})"

    changed = first_difference(data["source"], recorded_run.make("source").fingerprint())
    schema = Schema.model_validate_json((original.model / "schema.json").read_text())
    features = Features(recorded_run.config, recorded_run.make("retrieval"))
    check_rows(recorded_run, features, fits=True)
    panel = features.panel()
    panel, _ = take_part(
        panel, schema, recorded_run.config.panel.short, recorded_run.config.validation.steps
    )
    part = first_difference(data["panel"], panel_fingerprint(panel))
    if part is not None:
        origin = (
            f" (source: {changed})"
            if changed
            else " (the source files are as recorded: the store was changed, or ingested otherwise)"
        )
        raise RefusedError(f"{which} cannot be rebuilt: training rows of {part}{origin}.")
    draft = draft_pair(
        recorded_run,
        panel,
        schema,
        pd.read_parquet(original.model / BACKTEST),
        run.directory / "pair",
    )
    for half in HALVES:
        difference = first_difference(
            hash_files(getattr(original, half)), hash_files(getattr(draft, half))
        )
        if difference is not None:
            raise RefusedError(
                f"{which} was rebuilt from the same rows, and differs: {half} half: {difference}."
            )
    run.say(f"{which} was rebuilt: every byte of both halves is the same")
    pair = original.version
    return {
        "pair": {"name": pair.name, "version": pair.version, "digest": pair.digest},
        "equal": True,
    }
