"""Compares two pairs: configuration, features, data, environment, bytes, figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from framework.errors import FrameworkError
from framework.evaluation.recorded_backtest import summary
from framework.interfaces.registry import ProvenPair
from framework.pairs.artifacts import read_fingerprints
from framework.pairs.manifest import HALVES, hash_files
from framework.secrets import masked_tree

#: What a key has where it is not there; null is a value.
ABSENT = "(absent)"
#: Letters of a value, and files of a half, that a line shows; the result has all.
_LONGEST, _FILES = 60, 5


def pair_differences(before: ProvenPair, after: ProvenPair) -> dict[str, Any]:
    """Compare two proven pairs; nothing of their artifacts is loaded.

    Args:
        before: The pair that is compared against.
        after: The pair that is looked at.

    Returns:
        ``name``, ``before`` and ``after``: which pairs. ``configuration``, ``schema`` and
        ``distributions``: lists of ``{key, before, after}`` with what differs. ``data``: the
        months of the panel, and those that changed. ``halves``: by half, whether every byte is the
        same, and the files that differ. ``figures``: by target and side (model, baseline)
        ``{metric: {before, after}}``, and the origins they are of. ``notes``: what could not be
        compared, and why.
    """
    notes: list[str] = []
    sides = {
        side: {
            "version": pair.version.version,
            "digest": pair.version.digest,
            "aliases": list(pair.version.aliases),
            "created": pair.version.created,
        }
        for side, pair in (("before", before), ("after", after))
    }
    return {
        "name": after.version.name,
        **sides,
        "configuration": _changes(_tree(before.config), _tree(after.config)),
        "schema": _changes(_schema(before.model), _schema(after.model)),
        "data": _data(before.model, after.model),
        "distributions": _changes(before.environment, after.environment),
        "halves": {half: _bytes(getattr(before, half), getattr(after, half)) for half in HALVES},
        "figures": _figures(before, after, notes),
        "notes": notes,
    }


def _tree(config: str) -> dict[str, Any]:
    tree = yaml.safe_load(config) or {}
    return {key: value for key, value in tree.items() if key not in ("run", "paths")}


def _schema(model: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((model / "schema.json").read_text())
    return tree


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the keys whose values differ, by their whole paths."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        {"key": key, "before": old.get(key, ABSENT), "after": new.get(key, ABSENT)}
        for key in dict.fromkeys((*old, *new))
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    ]


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in masked_tree(dict(tree)).items():
        key_path = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key_path)
        else:
            yield key_path, value


def _data(before: Path, after: Path) -> dict[str, Any]:
    """Compare the fingerprints of source and panel."""
    old, new = (
        {"source": {}, "panel": {}, **read_fingerprints(model)} for model in (before, after)
    )
    months = old["panel"], new["panel"]
    return {
        "months": {
            side: [min(prints), max(prints)] if prints else None
            for side, prints in zip(("before", "after"), months, strict=True)
        },
        "changed": sorted(m for m in {*months[0]} & {*months[1]} if months[0][m] != months[1][m]),
        "added": sorted({*months[1]} - {*months[0]}),
        "removed": sorted({*months[0]} - {*months[1]}),
        "source": [change["key"] for change in _changes(old["source"], new["source"])],
    }


def _bytes(before: Path, after: Path) -> dict[str, Any]:
    changes = _changes({"": hash_files(before)}, {"": hash_files(after)})
    files = sorted(change["key"].removeprefix(".") for change in changes)
    return {"same": not files, "files": files}


def _figures(before: ProvenPair, after: ProvenPair, notes: list[str]) -> dict[str, Any]:
    """Put the backtests' figures side by side. Figures of other origins are not of the same
    forecasts: a note says so.
    """
    sides: dict[str, dict[str, Any]] = {}
    for side, pair in (("before", before), ("after", after)):
        try:
            sides[side] = summary(pair.model)
        except FrameworkError as error:
            notes.append(f"version {pair.version.version}: {error}")
            sides[side] = {"targets": {}}
    spans = {side: {k: v for k, v in s.items() if k != "targets"} for side, s in sides.items()}
    if spans["before"] != spans["after"] and all(spans.values()):
        notes.append(
            "the figures are of different origins or horizons; the gate of run=promote judges "
            "both pairs on the same ones"
        )
    targets: dict[str, Any] = {}
    for side, summed in sides.items():
        for target, of_sides in summed["targets"].items():
            for who, metrics in of_sides.items():
                for metric, value in metrics.items():
                    cells = targets.setdefault(target, {}).setdefault(who, {})
                    cells.setdefault(metric, {"before": None, "after": None})[side] = value
    return {"origins": spans, "targets": targets}


def difference_lines(body: Mapping[str, Any]) -> list[str]:
    """Write what :func:`pair_differences` gave for people, one fact a line."""
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
