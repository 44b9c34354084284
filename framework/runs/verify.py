"""``run=verify``: the registry held against what it decided, every pair proven, the history checked; repairs what can be."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from framework.errors import RefusedError
from framework.interfaces.registry import Finding, Registry
from framework.run import Run


def verify(run: Run) -> dict[str, Any]:
    """Refused (exit code 3) when something was found that could not be repaired."""
    registry: Registry = run.make("registry")
    findings = registry.verify(run.config.name)
    for finding in findings:
        run.say(f"verify: {'repaired' if finding.repaired else 'BROKEN'}: {finding.text}")
    body = {"findings": [asdict(finding) for finding in findings], "pairs": len(registry.pairs(run.config.name))}
    broken = [finding for finding in findings if not finding.repaired]
    if broken:
        raise RefusedError(f"'{run.config.name}': {_count(broken)}: {'; '.join(finding.text for finding in broken)}", body)
    return body


def _count(broken: list[Finding]) -> str:
    return "1 thing is broken" if len(broken) == 1 else f"{len(broken)} things are broken"
