"""The core names no plugin and no library of one, apart from the list of what to install."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import framework
from framework.config.catalog import FIRST_PARTY, FIRST_PARTY_SECTIONS

CORE = Path(framework.__file__).parent
#: The list of what to install, and the contract suites, which plugins run for themselves.
LEFT_OUT = {CORE / "config" / "catalog.py", *(CORE / "testing").rglob("*.py")}
LIBRARIES = {
    *("darts", "duckdb", "feast", "lightgbm", "mlflow", "optuna", "ray", "redis", "scikit-learn"),
    *(
        "chronos2",
        "huggingface_hub",
        "safetensors",
        "sklearn",
        "sqlalchemy",
        "statsforecast",
        "torch",
        "uvicorn",
        "xgboost",
    ),
}
_DISTRIBUTIONS = [*FIRST_PARTY.values(), *(first for first, _ in FIRST_PARTY_SECTIONS.values())]
PLUGINS = {name for distributions in _DISTRIBUTIONS for name in distributions.split()}
NAMES = LIBRARIES | PLUGINS | {name.replace("-", "_") for name in PLUGINS}
_NAMED = re.compile(rf"(?<![\w-])({'|'.join(sorted(NAMES, key=len, reverse=True))})(?![\w-])", re.I)
#: What the core promises to clients of its server: paths, and the protocol of that name.
PROMISED = re.compile(r"/predict/feast|MLflow's")


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give the imports and the texts of a module, without docstrings."""
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if id(node) in documented:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def named(text: str) -> list[str]:
    return _NAMED.findall(PROMISED.sub("", text))


def test_the_core_names_no_plugin() -> None:
    files = [path for path in sorted(CORE.rglob("*.py")) if path not in LEFT_OUT]
    assert len(files) > 100
    lines = [
        f"{path.relative_to(CORE)}:{line}: {word}"
        for path in files
        for line, text in words(ast.parse(path.read_text()))
        for word in named(text)
    ]
    assert lines == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("framework_ray_serve.api", ["framework_ray_serve"]),
        ("choose retrieval=feast.", ["feast"]),
        ("array", []),
        ("POST /predict/feast", []),
        ("MLflow's scoring protocol", []),
        ("needs MLflow", ["MLflow"]),
    ],
)
def test_a_name_is_found_as_a_word(text: str, expected: list[str]) -> None:
    assert named(text) == expected
