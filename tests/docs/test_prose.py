"""Docstrings begin with a summary: no docstring begins with a clause such as "What is kept"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*(ROOT / "framework").iterdir(), *(ROOT / "plugins").glob("*/*"))
    if path.suffix == ".py" or any(path.rglob("*.py"))
    if path.name != "tests"
)
CLAUSE = re.compile(r"(What|Whether|Which|How|Those|Whose|Where|When|Who|That)\b")


@pytest.mark.parametrize("room", ROOMS)
def test_no_docstring_begins_with_a_clause(room: str) -> None:
    place = ROOT / room
    modules = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    assert modules
    clauses = [
        f"{module.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {text[:60]}"
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (text := ast.get_docstring(node) or "") and CLAUSE.match(text)
    ]
    assert clauses == []
