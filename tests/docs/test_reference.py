"""Every option, hook and metric is documented: the pages that are made of the code are up to date,
and say something of each.
"""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "options.py"))


def test_the_pages_are_what_the_code_says(reference: dict[str, Any]) -> None:
    for path, text in reference["pages"]().items():
        assert path.read_text() == text, f"{path.name} is out of date: make api"


def test_something_is_said_of_every_option_and_hook(reference: dict[str, Any]) -> None:
    assert reference["gaps"]() == []


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
