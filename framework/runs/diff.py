"""``run=diff version=3 against=2``: what changed between two pairs of one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framework.evaluation.pair_differences import difference_lines, pair_differences
from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.names import name_of
from framework.runs.steps.references import pair_reference

if TYPE_CHECKING:
    from framework.runs.options import DiffOptions


def diff(run: Run) -> dict[str, Any]:
    options: DiffOptions = run.options
    registry: Registry = run.make("registry")
    name, reference = name_of(run, registry), pair_reference(run.config, "latest")
    before = registry.fetch(registry.resolve(name, options.against))
    after = registry.fetch(registry.resolve(name, reference))
    body = pair_differences(before, after)
    run.say(f"{name}: version {after.version.version} against {before.version.version}")
    for line in difference_lines(body):
        run.say(line)
    return body
