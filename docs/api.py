"""Write ``docs/reference/api.md``, the reference of the public surface, from its docstrings.

``make api`` runs it. It reads the modules of ``framework.interfaces.surface`` as text and imports
none of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

from framework.interfaces.surface import INNER, SURFACE

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"

_HEAD = """# What a plugin may import

Made by `make api` from the docstrings of the modules that `framework.interfaces.surface` lists;
change it there. Letters in shapes: n windows, L context steps, H horizon steps, T targets, P past
columns, K columns known in advance, S static columns, Q quantiles, F features. Times are UTC.

"""
_INNER = """## Inside serving

A backend that places the stages of a request in processes of its own, as Ray Serve does, also
imports the inner rooms of serving and the pair. They have no reference here and change with the
server: such a backend is released together with the core. The same is true of the plugin that
stores pairs as MLflow models.

"""
Documented = griffe.Class | griffe.Function


def page() -> str:
    """Render the whole page."""
    package = _package()
    lines = [_HEAD, "| for | import |\n|---|---|\n"]
    lines += [f"| {who} | {_links(names)} |\n" for who, names in SURFACE.items()]
    lines += ["\n", _INNER, *(f"- `{name}`\n" for name in INNER), "\n"]
    for module in _modules(package):
        lines.append(f"## {module.path}\n\n")
        lines.append(_text(module))
        for member in _public(module):
            if isinstance(member, griffe.Class):
                lines.append(_class(member))
            else:
                lines.append(_function(member, "###"))
    return re.sub(r"\n{3,}", "\n\n", "".join(lines)).rstrip() + "\n"


def gaps() -> list[str]:
    """Find what the docstrings of the surface do not say, one line each."""
    lines = []
    for module in _modules(_package()):
        for member in _public(module):
            lines += [f"{member.path}: {gap}" for gap in _gaps(member, inherited=False)]
            if not isinstance(member, griffe.Class):
                continue
            inherited = {name for base in _bases(member) for name in base.members}
            for method in _public(member):
                lines += [
                    f"{method.path}: {gap}" for gap in _gaps(method, method.name in inherited)
                ]
    return lines


def _package() -> griffe.Module:
    package = griffe.load(
        "framework",
        search_paths=[ROOT],
        try_relative_path=False,
        docstring_parser="google",
        allow_inspection=False,
    )
    assert isinstance(package, griffe.Module)
    return package


def _modules(package: griffe.Module) -> Iterator[griffe.Module]:
    for name in dict.fromkeys(name for names in SURFACE.values() for name in names):
        module = package[name.removeprefix("framework.")]
        yield module
        for path in sorted(child.path for child in _below(module)):
            yield package[path.removeprefix("framework.")]


def _below(module: griffe.Module) -> Iterator[griffe.Module]:
    for child in (m for m in module.modules.values() if not m.is_alias):
        yield child
        yield from _below(child)


def _public(owner: griffe.Module | griffe.Class) -> Iterator[Documented]:
    for name, member in owner.members.items():
        if isinstance(member, Documented) and not name.startswith("_"):
            yield member


def _bases(member: griffe.Class) -> list[griffe.Class]:
    """Find the classes of this package that a class is made from."""
    return [base for base in member.mro() if base.path.startswith("framework.")]


def _sections(member: griffe.Object) -> list[griffe.DocstringSection]:
    return member.docstring.parse("google", warnings=False) if member.docstring else []


def _gaps(member: Documented, inherited: bool) -> Iterator[str]:
    if member.name.startswith("test_"):  # a check of a contract suite: its name says what it asks
        return
    if member.docstring is None:
        if not inherited:
            yield "no docstring"
        return
    if not isinstance(member, griffe.Function):
        return
    sections = {section.kind.value: section.value for section in _sections(member)}
    named = {item.name.lstrip("*") for item in sections.get("parameters", [])}
    arguments = {p.name.lstrip("*") for p in member.parameters} - {"self", "cls"}
    complete = inherited and not named  # the contract says it already
    if not complete and arguments - named:
        yield f"Args: does not name {', '.join(sorted(arguments - named))}"
    if named - arguments:
        yield f"Args: names {', '.join(sorted(named - arguments))}, which it does not take"
    if not inherited and str(member.returns) != "None" and not {"returns", "yields"} & {*sections}:
        yield "no Returns"
    said = {str(item.annotation).rpartition(".")[2] for item in sections.get("raises", [])}
    if not inherited and _raised(member) - said:
        yield f"Raises: does not name {', '.join(sorted(_raised(member) - said))}"


def _raised(member: griffe.Function) -> set[str]:
    """Find the exceptions that a function's own text raises."""
    tree = ast.parse(re.sub(r"\A\s+", "", _dedented(member)))
    calls = [
        node.exc.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    return {call.id for call in calls if isinstance(call, ast.Name) and call.id[0].isupper()}


def _dedented(member: griffe.Function) -> str:
    lines = member.source.splitlines()
    indent = min((len(x) - len(x.lstrip()) for x in lines if x.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)


def _class(member: griffe.Class) -> str:
    bases = ", ".join(_plain(str(base)) for base in member.bases)
    parts = [f"### class `{member.name}{f'({bases})' if bases else ''}`\n\n", _text(member)]
    fields = [_field(a) for a in member.attributes.values() if _shown(a)]
    if fields:
        parts += ["```python\n", *fields, "```\n\n"]
    for method in _public(member):
        if isinstance(method, griffe.Function) and not method.name.startswith("test_"):
            parts.append(_function(method, "####"))
    checks = [method.name for method in _public(member) if method.name.startswith("test_")]
    if checks:
        parts += ["Checks:\n\n", *(f"- `{name}`\n" for name in checks), "\n"]
    properties = [a for a in member.attributes.values() if "property" in a.labels]
    for attribute in properties:
        if not attribute.name.startswith("_") and attribute.docstring:
            kind = _plain(str(attribute.annotation))
            parts.append(f"#### `{attribute.name}` -> `{kind}`\n\n{_text(attribute)}")
    return "".join(parts)


def _shown(attribute: griffe.Attribute) -> bool:
    hidden = attribute.name.startswith("_") or attribute.name == "model_config"
    return not hidden and "property" not in attribute.labels and attribute.annotation is not None


def _field(attribute: griffe.Attribute) -> str:
    value = "" if attribute.value is None else f" = {_code(attribute.value)}"
    return f"{attribute.name}: {_code(attribute.annotation)}{value}\n"


def _function(member: griffe.Function, level: str) -> str:
    parameters = [p for p in member.parameters if p.name not in ("self", "cls")]
    shown, keyword_only = [], False
    for parameter in parameters:
        star = parameter.kind is griffe.ParameterKind.keyword_only and not keyword_only
        if star:
            shown.append("*")
        keyword_only |= star or parameter.kind is griffe.ParameterKind.var_positional
        prefix = {"variadic positional": "*", "variadic keyword": "**"}.get(
            parameter.kind.value if parameter.kind else "", ""
        )
        kind = "" if parameter.annotation is None else f": {_code(parameter.annotation)}"
        default = "" if parameter.default is None or prefix else f" = {_code(parameter.default)}"
        shown.append(f"{prefix}{parameter.name}{kind}{default}")
    returns = "" if member.returns is None else f" -> {_code(member.returns)}"
    word = "async " if "async" in member.labels else ""
    line = f"{word}{member.name}({', '.join(shown)}){returns}"
    if len(line) > 96:
        body = "".join(f"    {part},\n" for part in shown)
        line = f"{word}{member.name}(\n{body}){returns}"
    return f"{level} `{member.name}`\n\n```python\n{line}\n```\n\n{_text(member)}"


def _text(member: griffe.Object) -> str:
    parts = []
    for section in _sections(member):
        kind, value = section.kind.value, section.value
        if kind == "text":
            parts.append(f"{_markdown(value)}\n\n")
        elif kind == "parameters":
            parts.append("Args:\n\n")
            parts += [f"- `{item.name}`: {_joined(item.description)}\n" for item in value]
            parts.append("\n")
        elif kind in ("returns", "yields"):
            text = " ".join(_joined(item.description) for item in value)
            parts.append(f"{kind.capitalize()}: {text}\n\n")
        elif kind == "raises":
            parts.append("Raises:\n\n")
            parts += [f"- `{item.annotation}`: {_joined(item.description)}\n" for item in value]
            parts.append("\n")
    return "".join(parts)


def _joined(text: str) -> str:
    return " ".join(_markdown(text).split())


def _markdown(text: str) -> str:
    """Turn roles and double backticks into what Markdown shows as code."""
    text = re.sub(r":(?:class|func|meth|mod|data|attr):`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def _code(expression: object) -> str:
    """Write an expression with one kind of quotes, whichever griffe has kept."""
    text = ast.unparse(ast.parse(str(expression), mode="eval"))
    return text if '"' in text else text.replace("'", '"')


def _plain(text: str) -> str:
    return text.rpartition(".")[2] if re.fullmatch(r"[\w.]+", text) else text


def _links(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page())
