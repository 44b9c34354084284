"""Pairs on disk: the data directory of each half, the manifest that binds them, and the proof that
nothing differs.

A registry keeps two artifact directories, one per half, each with the file ``pair.json``: the
manifest. It lists the SHA-256 of every other file of both artifacts beside schema, config and run
id; its own digest covers all of that. Both halves carry the same manifest, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.config.catalog import Plugins
from framework.data.schema import Schema
from framework.errors import RefusedError
from framework.pairs.golden import Golden
from framework.pairs.intervals import INTERVALS, Calibration
from framework.pairs.manifest import HALVES, canonical
from framework.pairs.pair import Pair

if TYPE_CHECKING:
    import pandas as pd

BACKTEST = "backtest.parquet"
DATA = "data.json"
TRAINED = "series.json"
FEATURES = "features.json"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence that a pair is trusted by later: the golden batch before it answers, the
    backtest (its long table) before it is promoted, the fingerprints of source and panel
    (:mod:`framework.data.fingerprint`) when it is rebuilt.
    """

    golden: Golden
    backtest: pd.DataFrame
    data: dict[str, dict[str, str]]


def write_half(directory: Path, kind: str, name: str, component: Any, schema: Schema) -> None:
    """Write the data directory of one half: ``component.json``, ``schema.json`` and the component's
    own files in ``state/``.

    Args:
        directory: The directory, which is made.
        kind: ``preprocessor`` or ``model``.
        name: The component's name.
        component: The fitted component.
        schema: What it was fitted on.
    """
    state = directory / "state"
    state.mkdir(parents=True)
    component.save(state)
    (directory / "schema.json").write_text(schema.model_dump_json(indent=1))
    (directory / "component.json").write_text(canonical({"kind": kind, "name": name}))


def write_pair(directory: Path, pair: Pair, names: Mapping[str, str], evidence: Evidence) -> None:
    """Write both data directories, ``preprocessor/`` and ``model/``.

    Both halves name the arrays between them (``features.json``), so that each can be asked on its
    own. The evidence goes with the model.

    Args:
        directory: Where they are made.
        pair: The fitted pair.
        names: The component's name of each half.
        evidence: What the pair is trusted by later.
    """
    write_half(
        directory / "preprocessor",
        "preprocessor",
        names["preprocessor"],
        pair.preprocessor,
        pair.schema,
    )
    write_half(directory / "model", "model", names["model"], pair.model, pair.schema)
    names_between = {
        part: list(getattr(pair.preprocessor, f"{part}_names"))
        for part in ("past", "future", "static")
    }
    if pair.model.by_series:
        names_between["entities"] = list(pair.schema.entity_keys)
    for half in HALVES:
        (directory / half / FEATURES).write_text(canonical(names_between))
    (directory / "model" / "golden.json").write_text(evidence.golden.to_json())
    evidence.backtest.to_parquet(directory / "model" / BACKTEST, index=False)
    (directory / "model" / DATA).write_text(canonical(evidence.data))
    if pair.calibration is not None:
        pair.calibration.save(directory / "model" / INTERVALS)
    if pair.trained is not None:
        (directory / "model" / TRAINED).write_text(canonical(sorted(pair.trained)))


def read_fingerprints(model: Path) -> dict[str, dict[str, str]]:
    """Read the fingerprints of source and panel.

    Args:
        model: The data directory of the model half.

    Returns:
        By kind, the fingerprints by key; nothing where none were written.
    """
    path = model / DATA
    prints: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.is_file() else {}
    return prints


def open_half(directory: Path, kind: str, plugins: Plugins) -> Any:
    """Open the fitted component of one proven data directory.

    Args:
        directory: The directory.
        kind: ``preprocessor`` or ``model``.
        plugins: Where components are found.

    Returns:
        The component.

    Raises:
        RefusedError: The directory holds the other kind, or another version has written it.
    """
    record = json.loads((directory / "component.json").read_text())
    if record["kind"] != kind:
        raise RefusedError(f"{directory}: holds a {record['kind']}, a {kind} was expected.")
    with _opening(directory):
        return plugins.load(kind, record["name"]).load(directory / "state")


def modules_of(preprocessor: Path, model: Path, plugins: Plugins) -> list[str]:
    """List the modules that the opening of a pair imports, as far as the plugins that are installed
    say. None of them is imported.

    Args:
        preprocessor: The data directory of this half.
        model: The data directory of this half.
        plugins: Where components are found.

    Returns:
        The names of modules.
    """
    modules: list[str] = []
    for directory in (preprocessor, model):
        record = json.loads((directory / "component.json").read_text())
        if record["name"] in plugins.names(record["kind"]):
            component = plugins.find(record["kind"], record["name"])
            modules += [component.load.partition(":")[0], *component.imports]
    return modules


@contextmanager
def _opening(directory: Path) -> Iterator[None]:
    """Every byte is proven by now: what cannot be read was written in another form, by an earlier
    version of the framework or a plugin.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RefusedError(
            f"{directory}: written by another version, this one cannot read it ({reason}); "
            "train again."
        ) from error


def open_pair(preprocessor: Path, model: Path, plugins: Plugins) -> Pair:
    """Open proven data directories.

    Args:
        preprocessor: The directory of this half.
        model: The directory of this half.
        plugins: Where components are found.

    Returns:
        The pair.

    Raises:
        RefusedError: The schemas of both halves differ, or another version has written them.
    """
    texts = [(d / "schema.json").read_text() for d in (preprocessor, model)]
    if texts[0] != texts[1]:
        raise RefusedError(
            f"the schemas of {preprocessor} and {model} differ: they are not a pair."
        )
    with _opening(preprocessor):
        schema = Schema.model_validate_json(texts[0])
    with _opening(model / INTERVALS):
        calibration = Calibration.load(model / INTERVALS) if (model / INTERVALS).is_file() else None
    trained_path = model / TRAINED
    trained = (
        frozenset(map(tuple, json.loads(trained_path.read_text())))
        if trained_path.is_file()
        else None
    )
    return Pair(
        schema,
        open_half(preprocessor, "preprocessor", plugins),
        open_half(model, "model", plugins),
        calibration,
        trained,
    )
