"""Every option, hook and metric is documented: the pages that are made of the code are up to date,
and say something of each.
"""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.config.config import Config, layout_of
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "options.py"))


def test_the_pages_are_what_the_code_says(reference: dict[str, Any]) -> None:
    for path, text in reference["pages"]().items():
        assert path.read_text() == text, f"{path.name} is out of date: make api"


def test_the_pictures_are_what_the_contract_says() -> None:
    """Of every room of the core, without an address of another host."""
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    for path, text in drawn["pictures"]().items():
        assert path.read_text() == text, f"{path.name} is out of date: make api"
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert path.name in (ROOT / "docs" / "architecture.md").read_text()
    folders = {path.parent.name for path in (ROOT / "framework").glob("*/__init__.py")}
    rooms = {room for floor in drawn["layers"]() for room in floor}
    assert folders - {"conf"} <= rooms


def test_something_is_said_of_every_option_and_hook(reference: dict[str, Any]) -> None:
    assert reference["gaps"]() == []


def test_every_key_of_the_core_is_in_the_table_of_keys() -> None:
    """Each as `panel.targets`, or by its last word behind the first of its row."""
    table = (REFERENCE / "config.md").read_text().partition("## Keys")[2]
    named = set()
    for cell in re.findall(r"^\| (`.*?) \| ", table, re.MULTILINE):
        section = ""
        for span in re.findall(r"`([^`]+)`", cell):
            section = span.rpartition(".")[0] or section
            named |= {span, f"{section}.{span}"}
    layout = layout_of(load_plugins())
    tops = {key for part in layout.parts.values() if part.run for key in part.top}
    keys = {*core_keys(Config), *tops} - {"components", "sections", "text"}
    assert {"name", "seed", "run", "backtest.refit", "schedule"} <= keys
    assert sorted(keys - named) == []


def core_keys(options: type[Options], prefix: str = "") -> Iterator[str]:
    for name, field in options.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Options):
            yield from core_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_an_option_of_which_nothing_is_said_is_found(
    reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Options):
        depth: int = 1

    class Plugin:
        __name__ = "acme"

        @hookimpl
        def components(self) -> list[Component]:
            return [Component("model", "acme", "x:y", Silent)]

    loaded = reference["load_plugins"]([Plugin()])
    monkeypatch.setitem(reference["_described"].__globals__, "load_plugins", lambda: loaded)
    assert reference["gaps"]() == ["`model=acme`: depth"]


def test_every_metric_is_in_the_reference() -> None:
    page = (REFERENCE / "http.md").read_text()
    names = set()
    for path in (
        *(ROOT / "framework").rglob("*.py"),
        *(ROOT / "plugins").glob("*/framework_*/**/*.py"),
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                "counter",
                "gauge",
                "histogram",
            ):
                names |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    assert "framework_requests" in names
    missing = [n for n in names if not re.search(rf"`{n}(_total)?[`{{]", page)]
    assert missing == []
