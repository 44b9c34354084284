"""The public surface is one list: reference, how-to and import-linter's contract say the same, and
every docstring on it is whole.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from framework.interfaces.surface import INNER, SURFACE

ROOT = Path(__file__).parents[2]
NAMES = {name for names in SURFACE.values() for name in names}


@pytest.fixture(scope="module")
def api() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_api", ROOT / "docs" / "api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_docstrings_say(api: ModuleType) -> None:
    assert api.PAGE.read_text() == api.page(), "docs/reference/api.md is out of date: make api"


def test_every_module_of_the_surface_can_be_imported() -> None:
    for name in (*NAMES, *INNER):
        importlib.import_module(name)


def test_the_contract_lets_plugins_import_the_surface_and_nothing_else() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (c for c in contracts["contracts"] if c["name"] == "What is no plugin's business")
    assert contract["protected_modules"] == contract["allowed_importers"] == ["framework"]
    allowed = {line.removeprefix("** -> ") for line in contract["ignore_imports"]}
    packages = {
        f"{name}.**" for name in (*NAMES, *INNER) if (ROOT / name.replace(".", "/")).is_dir()
    }
    assert allowed == {*NAMES, *INNER, *packages}


def test_the_how_to_names_the_same_modules() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text()
    table = page[page.index("## What a plugin may import") :]
    rows = dict(re.findall(r"^\| (.*?) \| (`.*) \|$", table, re.MULTILINE))
    assert {who: tuple(re.findall("`(.*?)`", cell)) for who, cell in rows.items()} == SURFACE


def test_an_entry_module_stays_light() -> None:
    """What the module of an entry point imports while it runs loads no numpy: ``--help`` reads
    every one of them.
    """
    names = ["framework.interfaces.plugin", "framework.options", "framework.interfaces.surface"]
    code = f"import sys, {', '.join(names)}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_docstring_of_the_surface_is_whole(api: ModuleType) -> None:
    """Args names every argument, Returns and Raises are there where something is returned or
    raised.
    """
    assert api.gaps() == []


def test_a_docstring_that_is_not_whole_is_found(
    api: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "framework"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text('''"""One module."""
class Contract:
    """A contract."""
    def known(self, a: int) -> int:
        """Do it.

        Args:
            a: A number.

        Returns:
            Another.
        """
class Kept(Contract):
    """It says the contract's words."""
    def known(self, a: int) -> int:
        return a
    def bare(self): ...
def unsaid(a: int, b: int) -> int:
    """Do it.

    Args:
        b: A number.
        c: Another.
    """
    raise ValueError("no")
''')
    monkeypatch.setattr(api, "ROOT", tmp_path)
    monkeypatch.setattr(api, "SURFACE", {"all": ("framework.one",)})
    assert api.gaps() == [
        "framework.one.Kept.bare: no docstring",
        "framework.one.unsaid: Args: does not name a",
        "framework.one.unsaid: Args: names c, which it does not take",
        "framework.one.unsaid: no Returns",
        "framework.one.unsaid: Raises: does not name ValueError",
    ]
