"""What a run records of the installation, and what a pair says that it needs."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from framework.interfaces.plugin import ENTRY_POINTS
from framework.pairs.provenance import requirements, versions


def component(module: str, *needs: str) -> Any:
    return type("Component", (), {"__module__": module, "requirements": needs})()


def pinned(*names: str) -> set[str]:
    return {f"{name}=={metadata.version(name)}" for name in names}


def test_the_core_every_plugin_and_what_is_asked_for_are_recorded() -> None:
    found = versions("pluggy", "no-such-distribution")
    plugins = {entry.dist.name for entry in metadata.entry_points(group=ENTRY_POINTS) if entry.dist}
    assert {"python", "framework-core", "framework-files", "pluggy"} | plugins <= set(found)
    assert "no-such-distribution" not in found
    assert found["pluggy"] == metadata.version("pluggy")


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        ("framework_xgboost.model", ["framework-xgboost"]),
        ("framework.constant", []),
        ("yaml.loader", ["PyYAML"]),  # a package that is no plugin's
        ("of_a_notebook", []),
    ],
)
def test_a_pair_needs_the_distribution_of_each_class_and_what_it_names(
    module: str, owner: list[str]
) -> None:
    found = requirements(component(module, "pandas"))
    assert set(found) == pinned("framework-core", "numpy", "pandas", *owner)
    assert found == tuple(sorted(found))
