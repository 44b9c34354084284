"""Write ``docs/reference/options.md`` and ``docs/reference/hooks.md``: every option, from the
classes that check it, and every hook, from its specification.

``make api`` runs it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from framework.config.config import Config, layout_of
from framework.config.groups import GROUPS
from framework.config.option_docs import describe_options
from framework.options import Options
from framework.plugins import hookspecs
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"

_OPTIONS = """# Every option

Made by `make api` from the classes that check the options; change it there. The keys of all runs,
and what they are for, are in [configuration](config.md). An alert sink's options stand below
`monitor.alerts.sinks.NAME`, those of any other component below its group: `model.max_depth`.

"""
_HOOKS = """# Every hook

Made by `make api` from `framework.plugins.hookspecs`; change it there. How a plugin implements one
is in [write a plugin](../how-to/write-a-plugin.md).

"""
#: Keys of the core at the top level that are single values, and are described with the keys.
_MADE = ("components", "sections", "text", "features")


def pages() -> dict[Path, str]:
    """Render both pages."""
    return {
        FOLDER / "options.md": _OPTIONS + "\n".join(_option_lines()),
        FOLDER / "hooks.md": _HOOKS + "\n".join(_hook_lines()),
    }


def gaps() -> list[str]:
    """Name the options and the hooks of which nothing is said."""
    nothing = [f"hook {name}" for name, hook in _hooks() if not inspect.getdoc(hook)]
    for title, described in _described():
        nothing += [f"{title}: {key}" for key, entry in _flat(described) if not entry["doc"]]
    return nothing


def _described() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the title and the options of every section and component, in the order of the page."""
    plugins = load_plugins()
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if name not in _MADE and isinstance(kind, type) and issubclass(kind, Options):
            yield f"`{name}`", describe_options(kind)
    for part in layout_of(plugins).parts.values():
        described = describe_options(part.options)
        if described:
            yield f"`{'run=' if part.run else ''}{part.name}`", described
    groups = {kind: group for group, kind in reversed(GROUPS.items())}
    for component in sorted(plugins.components(), key=lambda each: (each.kind, each.name)):
        if component.kind not in ("run", "extension"):
            group = groups.get(component.kind, component.kind)
            yield f"`{group}={component.name}`", describe_options(component.options)


def _flat(described: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the options one by one, those below another option by their path."""
    for key, entry in described.items():
        inner = entry.get("options")
        if inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", entry


def _option_lines() -> Iterator[str]:
    for title, described in _described():
        yield f"## {title}\n"
        if not described:
            yield "No options.\n"
            continue
        yield "| option | type | default | |"
        yield "|---|---|---|---|"
        for key, entry in _flat(described):
            default = json.dumps(entry.get("default"), default=str)
            words = " ".join(entry["doc"].split())
            cells = (f"`{key}`", _cell(entry["type"]), _cell(f"`{default}`"), _cell(words))
            yield f"| {' | '.join(cells)} |"
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _hooks() -> Iterator[tuple[str, Any]]:
    for name, function in vars(hookspecs).items():
        if hasattr(function, "framework_spec"):
            yield name, function


def _hook_lines() -> Iterator[str]:
    for name, function in _hooks():
        signature = str(inspect.signature(function)).replace("'", "")
        yield f"## `{name}`\n\n```python\n{name}{signature}\n```\n"
        yield f"{(inspect.getdoc(function) or '').replace('``', '`')}\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
