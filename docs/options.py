"""Write ``docs/reference/options.md`` and ``docs/reference/hooks.md``: every option, from the
classes that check it, and every hook, from its specification.

``make api`` runs it.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from omegaconf import OmegaConf

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
#: Fields of the configuration that are made, not written.
_MADE = ("components", "sections", "text")


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
    yield "Of every run", _of_every_run()
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if name not in _MADE and isinstance(kind, type) and issubclass(kind, Options):
            yield f"`{name}`", _with_named(kind)
    for part in layout_of(plugins).parts.values():
        described = describe_options(part.options)
        if described:
            yield f"`{'run=' if part.run else ''}{part.name}`", described
    groups = {kind: group for group, kind in reversed(GROUPS.items())}
    for component in sorted(plugins.components(), key=lambda each: (each.kind, each.name)):
        if component.kind not in ("run", "extension"):
            group = groups.get(component.kind, component.kind)
            yield f"`{group}={component.name}`", _with_named(component.options)


def _of_every_run() -> dict[str, Any]:
    """Describe the keys that are single values at the top level, with the defaults of the core."""
    path = ROOT / "framework" / "conf" / "framework.yaml"
    declared: Any = OmegaConf.to_container(OmegaConf.load(path))
    described = {
        key: {**entry, "default": declared[key]}
        for key, entry in describe_options(Config).items()
        if key not in _MADE and "options" not in entry
    }
    words = Counter(entry["doc"] for entry in described.values())
    for entry in described.values():
        if words[entry["doc"]] > 1:  # what the class says of all of them
            entry["doc"] = ""
    return described


def _with_named(options: type[Options]) -> dict[str, Any]:
    """Describe options, and those below a name of the user's: ``tables.NAME.rename``."""
    described = describe_options(options)
    for key, field in options.model_fields.items():
        if get_origin(field.annotation) is dict:
            inner: dict[str, Any] = {}
            for kind in _classes(get_args(field.annotation)[1]):
                inner |= _with_named(kind)
            if inner:
                described[f"{key}.NAME"] = {"options": inner}
    return described


def _classes(annotation: Any) -> Iterator[type[Options]]:
    """Give the classes of options that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType):
        for each in get_args(annotation):
            yield from _classes(each)


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
