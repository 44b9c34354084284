"""No module imports itself through others, in the core or in a plugin, also where the import is for
types alone or inside a function.
"""

from __future__ import annotations

import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def check(graph: ImportGraph) -> None:
    """Raise CycleError for a circle."""
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imports).prepare()


def test_no_import_closes_a_circle() -> None:
    packages = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["root_packages"]
    installed = {folder.name for folder in PYPROJECT.parent.glob("plugins/*/framework_*")}
    assert {"framework", *installed} == set(packages), "every distribution is looked at"
    check(build_graph(*packages, cache_dir=None))


def test_an_import_for_types_alone_closes_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "package_of_a_circle"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text("def f():\n    from package_of_a_circle import two\n")
    (folder / "two.py").write_text(
        "from typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:\n    from package_of_a_circle.one import f\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CycleError, match="cycle"):
        check(build_graph("package_of_a_circle", cache_dir=None))
