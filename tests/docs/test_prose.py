"""Docstrings begin with a summary: no docstring begins with a clause such as "What is kept"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    *(f"framework/{room}" for room in ("features", "retrieval", "tuning", "cli", "config")),
    *(f"framework/serving/{room}" for room in ("console", "protocols", "pipeline", "arms")),
    *(f"framework/serving/{module}.py" for module in ("answers", "service", "shadow")),
    *(
        f"plugins/{plugin}/framework_{plugin}"
        for plugin in (
            *("feast", "ray", "ray_serve", "ray_tune", "darts", "lightgbm", "xgboost", "sql"),
            *("kafka", "redis_stream", "report", "statsforecast", "baselines"),
        )
    ),
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
