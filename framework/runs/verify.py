"""``run=verify``: with ``what=pairs`` the registry is held against what it decided, every pair
proven, the history checked, and what can be is repaired; with ``what=features`` what serving reads
is held against what training reads.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import Finding, Registry
from framework.monitoring.feature_parity import audit
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.names import chosen_name
from framework.runs.steps.unused import refuse_unused

#: Differences that the one line of the error names; the result has all.
_SHOWN = 3


def verify(run: Run) -> dict[str, Any]:
    """Refused (exit code 3) when something was found that could not be repaired."""
    if run.options.what == "features":
        refuse_unused(run, ("panel", "seed"), own=("verify.take_up",))
        return _features(run)
    refuse_unused(run, (), own=("verify.sample",))
    return _pairs(run)


def _features(run: Run) -> dict[str, Any]:
    if not run.config.has_experiment:
        raise ConfigError(
            "run=verify what=features: it reads the features of an experiment; choose one, "
            "+experiment=NAME."
        )
    features = Features(run.config, run.make("retrieval"))
    if features.strategy.max_context_length == 0:
        raise ConfigError(
            "run=verify what=features: this retrieval looks nothing up online; choose one that "
            "does (--help lists what is installed)."
        )
    entities, differences = audit(features, features.panel(), run.options.sample, run.config.seed)
    for difference in differences:
        run.say(f"verify: DIFFERS: {difference}")
    body = {
        "what": "features",
        "entities": entities,
        "differences": [asdict(difference) for difference in differences],
    }
    if differences:
        text = "; ".join(map(str, differences[:_SHOWN])) + (
            "; …" if len(differences) > _SHOWN else ""
        )
        raise RefusedError(
            f"'{run.config.name}': {len(differences)} values differ between offline and "
            f"online: {text}",
            body,
        )
    return body


def _pairs(run: Run) -> dict[str, Any]:
    registry: Registry = run.make("registry")
    name = chosen_name(run)
    whose = "any name" if name is None else f"'{name}'"
    findings = registry.take_up(name) if run.options.take_up else []
    findings += registry.verify(name)
    for finding in findings:
        run.say(f"verify: {'repaired' if finding.repaired else 'BROKEN'}: {finding.text}")
    pairs = len(registry.pairs(name))
    body: dict[str, Any] = {"findings": [asdict(finding) for finding in findings], "pairs": pairs}
    if not pairs and not findings:
        note = (
            f"there is nothing to verify: the registry has no pair of {whose}; "
            "run=train registers one"
        )
        run.say(f"verify: {note}")
        body["warnings"] = [note]
    broken = [finding for finding in findings if not finding.repaired]
    if broken:
        raise RefusedError(
            f"{whose}: {_count(broken)}: {'; '.join(finding.text for finding in broken)}",
            body,
        )
    return body


def _count(broken: list[Finding]) -> str:
    return "1 thing is broken" if len(broken) == 1 else f"{len(broken)} things are broken"
