"""``run=diff version=3 against=2``: what changed between two pairs of one name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from framework.evaluation.pair_differences import pair_differences
from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.names import name_of

if TYPE_CHECKING:
    from framework.runs.options import DiffOptions

#: Letters of a value, and files of a half, that a line shows; the result has all.
_LONGEST, _FILES = 60, 5


def diff(run: Run) -> dict[str, Any]:
    options: DiffOptions = run.options
    registry: Registry = run.make("registry")
    name, config = name_of(run, registry), run.config
    reference = str(config.version) if config.version is not None else config.alias or "latest"
    before = registry.fetch(registry.resolve(name, options.against))
    after = registry.fetch(registry.resolve(name, reference))
    body = pair_differences(before, after)
    sides = {
        side: {
            "version": pair.version.version,
            "digest": pair.version.digest,
            "aliases": list(pair.version.aliases),
            "created": pair.version.created,
        }
        for side, pair in (("before", before), ("after", after))
    }
    run.say(f"{name}: version {after.version.version} against {before.version.version}")
    for line in lines(body):
        run.say(line)
    return {"name": name, **sides, **body}


def lines(body: dict[str, Any]) -> list[str]:
    """Write what changed for people, one fact a line."""
    texts = [
        f"{part}: {change['key']}: {_short(change['before'])} -> {_short(change['after'])}"
        for part in ("configuration", "schema", "distributions")
        for change in body[part]
    ]
    data = body["data"]
    spans = [" to ".join(data["months"][side] or ["nothing"]) for side in ("before", "after")]
    texts.append(
        f"data: {spans[0]} -> {spans[1]}; months changed {len(data['changed'])}, added "
        f"{len(data['added'])}, removed {len(data['removed'])}"
    )
    for half, files in body["halves"].items():
        names = files["files"]
        more = ", …" if len(names) > _FILES else ""
        changed = f"{len(names)} files differ: {', '.join(names[:_FILES])}{more}"
        texts.append(f"{half}: {'every byte is the same' if files['same'] else changed}")
    texts += [
        f"{target}: {who} {metric}: {_short(cell['before'])} -> {_short(cell['after'])}"
        for target, sides in body["figures"]["targets"].items()
        for who, metrics in sides.items()
        for metric, cell in metrics.items()
    ]
    return [*texts, *(f"note: {note}" for note in body["notes"])]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
