"""Values have nouns for names: no local variable or parameter is a bare participle or adverb."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# fmt: off
WORDS = frozenset((
    "again", "alone", "allowed", "apart", "asked", "both", "chosen", "composed", "decided",
    "declared", "described", "done", "elsewhere", "finished", "found", "given", "gone",
    "got", "heard", "held", "here", "its", "judged", "kept", "learned", "left", "listed", "loaded",
    "lost", "made", "meant", "merged", "mine", "missing", "moved", "named", "needed", "noted",
    "offered", "opened", "ours", "proven", "reached", "recorded", "said", "seen", "sent",
    "shown", "stored", "taken", "theirs", "there", "together", "told", "used", "wanted",
    "watched", "written",
))
# fmt: on
#: The counts of a ledger have the names of its format: offered, lost and missing forecasts.
LEDGER_WORDS = {"offered", "lost", "missing"}
#: A merge has a left side.
ALLOWED = {("framework/evaluation/gate.py", "common_windows", "left")}


def modules() -> Iterator[Path]:
    yield from (ROOT / "framework").rglob("*.py")
    for plugin in sorted((ROOT / "plugins").iterdir()):
        for package in (*plugin.glob("framework_*"), *plugin.glob("hydra_plugins")):
            yield from package.rglob("*.py")


def functions(
    node: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a module and the methods of its classes, by name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        else:
            is_class = isinstance(child, ast.ClassDef)
            yield from functions(child, f"{prefix}{child.name}." if is_class else prefix)


def bare_names(function: ast.AST) -> set[str]:
    """The words of the list that are bound in a function or in one inside it."""
    bound = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return bound & WORDS


def test_a_bare_participle_is_noticed() -> None:
    source = """
class A:
    def f(self, rows):
        try:
            return [held for held in rows]
        except ValueError as given:
            def g(asked): ...
            kept_rows = rows
"""
    (((name, function)),) = functions(ast.parse(source))
    assert (name, bare_names(function)) == ("A.f", {"held", "given", "asked"})


def test_values_have_nouns_for_names() -> None:
    """``found`` says nothing; ``versions`` or ``matches`` says what it is."""
    bare = {
        (path.relative_to(ROOT).as_posix(), name, word)
        for path in modules()
        for name, function in functions(ast.parse(path.read_text()))
        for word in bare_names(function)
        if not (path.name.startswith("ledger") and word in LEDGER_WORDS)
    }
    assert bare - ALLOWED == set(), "name the value by a noun that says what it is"
    assert ALLOWED - bare == set(), "it is gone: delete the line in ALLOWED"
