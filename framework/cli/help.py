"""The text of ``--help``: the commands, the installed plugins, the compositions of ``conf/``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from framework.config.catalog import Plugins
from framework.config.config import layout_of
from framework.config.groups import GROUPS

_HEAD = """\
framework: from a panel of time series to a served, monitored forecast by configuration alone.

  python -m framework +experiment=NAME                              # train, backtest, register
  python -m framework +experiment=NAME model=OTHER                  # another model: one word
  python -m framework +experiment=NAME run=promote alias=production # move an alias
  python -m framework +experiment=NAME run=serve                    # serve it
  python -m framework --multirun +experiment=NAME model=A,B         # sweep
"""
_FOOT = """\
Any value can be overridden: KEY=VALUE.
All of them, composed: python -m framework +experiment=NAME --cfg job
More flags: --hydra-help"""


def help_text(plugins: Plugins, project: Path) -> str:
    """``project``: the folder of the project's compositions; it need not exist."""
    sections: dict[str, dict[str, dict[str, str]]] = {"Runs": {"run": _offered(plugins, "run")}}
    sections["Components"] = {
        group: _offered(plugins, kind) if group == kind else {"NAME": f"any {kind}"}
        for group, kind in GROUPS.items()
    }
    tree = {
        folder.name: {file.stem: "" for file in sorted(folder.glob("*.yaml"))}
        for folder in sorted(project.glob("*/"))
    }
    sections[f"This project ({project.name}/)"] = {
        f"{'+' * (group == 'experiment')}{group}": names for group, names in tree.items()
    }
    blocks = [f"{title}\n{body}" for title, groups in sections.items() if (body := _lines(groups))]
    blocks.insert(
        1, f"Keys of runs, extensions and sections, with their defaults\n{_keys(plugins)}"
    )
    lines = [f"  {problem}\n" for problem in plugins.problems]
    if lines:
        blocks.append(f"Plugins with a problem\n{''.join(lines)}")
    return "\n".join([_HEAD, *blocks, _FOOT])


def _keys(plugins: Plugins) -> str:
    """Write the keys that each run, extension and section declares, as they are written."""
    lines = []
    for part in layout_of(plugins).parts.values():
        words = list(_overrides("", part.defaults()))
        lines += textwrap.wrap(
            "  ".join(words),
            width=98,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines) + "\n"


def _overrides(path: str, node: dict[str, Any]) -> Iterator[str]:
    for key, value in node.items():
        key_path = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value:
            yield from _overrides(key_path, value)
        else:
            yield f"{key_path}={value if isinstance(value, str) else json.dumps(value)}"


def _offered(plugins: Plugins, kind: str) -> dict[str, str]:
    summaries = {c.name: c.summary for c in plugins.components() if c.kind == kind}
    return summaries | dict.fromkeys(plugins.missing(kind), "not installed")


def _lines(groups: dict[str, dict[str, str]]) -> str:
    """Write ``group=name`` and its summary, one a line."""
    rows = [
        (f"{group}={name}", summary)
        for group, names in groups.items()
        for name, summary in names.items()
    ]
    width = max((len(choice) for choice, _ in rows), default=0) + 2
    return "".join(f"  {choice:<{width}}{summary}".rstrip() + "\n" for choice, summary in rows)
