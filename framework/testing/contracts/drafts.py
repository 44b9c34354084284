"""Pairs of fakes that a registry is given, and a distribution that offers the fakes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pandas as pd

from framework.interfaces.registry import PairDraft
from framework.pairs.artifacts import Evidence, write_pair
from framework.testing import fakes

#: Where a development version of a distribution would be: :func:`install_fakes` makes the fakes a
#: plugin like any other.
_ENTRY_POINTS = "[framework]\nfakes = framework.testing.fakes\n"


def install_fakes(directory: Path) -> str:
    """Write a distribution that offers the fakes, for code that loads plugins by itself, such as
    MLflow's PyFunc loader or a server in another process.

    Args:
        directory: Where it is written.

    Returns:
        The folder for ``sys.path`` or ``PYTHONPATH``.
    """
    place = directory / "framework_fakes-0.dist-info"
    place.mkdir(parents=True, exist_ok=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: framework-fakes\nVersion: 0\n")
    (place / "entry_points.txt").write_text(_ENTRY_POINTS)
    return str(directory)


def make_draft(
    directory: Path, name: str = "fake", config: str = "run: train\n", shift: float = 0.0
) -> PairDraft:
    """Write a pair of fakes to disk.

    Args:
        directory: The folder, which is made.
        name: The pair's name.
        config: Its composed config.
        shift: What its forecasts are shifted by.

    Returns:
        The pair, not yet registered.
    """
    pair, golden = fakes.make_pair(fakes.make_schema(name=name), shift=shift)
    directory.mkdir(parents=True, exist_ok=True)
    write_pair(
        directory,
        pair,
        {"preprocessor": "fake", "model": "fake"},
        Evidence(golden, pd.DataFrame({"step": [1]}), {}),
    )
    requirements = tuple(
        f"{package}=={metadata.version(package)}" for package in ("framework-core", "numpy")
    )
    return PairDraft(
        directory / "preprocessor", directory / "model", pair.schema, config, requirements
    )
