"""``run=promote alias=NAME``: point an alias at a pair that is proven and passes its gates."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from framework.errors import FrameworkError, RefusedError
from framework.evaluation.gate import check_candidate
from framework.interfaces.registry import Check, PairVersion, ProvenPair, Registry
from framework.pairs.artifacts import BACKTEST
from framework.pairs.loading import open_proven
from framework.plugins.run import Run
from framework.runs.steps.aliases import check_signer, current, move, required_alias
from framework.runs.steps.answered import check_answered
from framework.runs.steps.incumbent import incumbent_backtest


def promote(run: Run) -> dict[str, Any]:
    """The pair is ``version=N``, by default the newest. ``force=true reason="…"`` overrules the
    gate, never the proof.
    """
    config = run.config
    alias = required_alias(run)
    registry: Registry = run.make("registry")
    candidate = registry.resolve(config.name, str(config.version or "latest"))
    incumbent = current(registry, config.name, alias)
    checks = _checks(run, registry, candidate, incumbent)
    failed = [check for check in checks if not check.passed]
    is_proven = not any(check.check == "proof" for check in failed)
    verdict: dict[str, Any] = {
        "passed": not failed,
        "forced": bool(failed) and run.options.force and is_proven,
        "candidate": candidate.version,
        "incumbent": incumbent.version if incumbent else None,
        "checks": [check.as_dict() for check in checks],
    }
    path = run.directory / "verdict.json"
    path.write_text(json.dumps(verdict, indent=1))
    run.record.artifacts.append(path)
    for check in checks:
        run.say(f"gate: {'passed' if check.passed else 'FAILED'}: {check.check}: {check.detail}")
    if failed and not verdict["forced"]:
        reason = "; ".join(f"{check.check}: {check.detail}" for check in failed)
        registry.refuse(config.name, alias, candidate.version, reason, verdict)
        raise RefusedError(
            f"version {candidate.version} of '{config.name}' is not promoted to '{alias}': "
            f"{reason}",
            verdict,
        )
    return move(run, registry, alias, candidate, incumbent, config.reason, verdict)


def _checks(
    run: Run, registry: Registry, candidate: PairVersion, incumbent: PairVersion | None
) -> list[Check]:
    """Proof first: of a pair that is not proven nothing is read."""
    try:
        pair_files = registry.fetch(candidate)
        check_signer(run, candidate, pair_files.retired_key)
        check_answered(run, lambda: pair_files.config)
        pair = open_proven(pair_files, run.plugins).pair
    except RefusedError as error:
        return [Check("proof", False, None, None, str(error))]
    checks = [Check("proof", True, None, None, "every byte proven, golden batch replayed")]
    before: ProvenPair | None = None
    if incumbent is not None and incumbent.version != candidate.version:
        try:
            before = registry.fetch(incumbent)
        except RefusedError as error:  # a broken incumbent must not keep a good candidate out
            run.say(f"gate: the incumbent cannot be proven and is not compared: {error}")
    own, incumbent_table = pd.read_parquet(pair_files.model / BACKTEST), None
    try:
        incumbent_table = incumbent_backtest(run, before, own) if before is not None else None
    except (
        FrameworkError
    ) as error:  # an incumbent that cannot be judged any more is no reason to pass
        detail = f"the incumbent cannot be backtested on the candidate's windows: {error}"
        checks.append(Check("against the incumbent", False, None, None, detail))
    checks += check_candidate(run.config.gate, own, incumbent_table, pair.schema.entity_keys)
    for more in run.plugins.hook.gate(run=run, candidate=pair_files, incumbent=before):
        checks += more
    return checks
