"""Writes the files of a project."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from framework.files import atomic_write
from framework.interfaces.proposal import Guess

_CONFIG = """\
# The configuration of this project; +experiment=NAME chooses a file of conf/experiment/.
defaults:
  - framework
  - _self_
"""
_IGNORED = """\
# What the project makes; deleting it starts afresh.
/state/
__pycache__/
.pytest_cache/
.env
"""
_README = """\
# {name}

Forecasts of {targets}, {horizon} steps of {frequency} ahead, from {data}.
`conf/experiment/{name}.yaml` says what was guessed of the data and why.

    python -m framework +experiment={name}                              # backtest, fit, register
    python -m framework +experiment={name} run=predict                  # forecasts to a file
    python -m framework +experiment={name} run=promote alias=production # through the gates
    python -m framework +experiment={name} run=serve alias=production   # over HTTP
    python -m framework +experiment={name} run=backtest model=MODEL     # another model

`python -m framework --help` lists the models and all other choices. `python -m pytest` checks that
the experiment still reads its data.
"""
_TEST = '''\
"""The experiment reads its data."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_the_data_are_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "framework", "+experiment={name}", "run=ingest"]
    done = subprocess.run(
        [*command, f"paths.state={{tmp_path}}"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"]["{table}"] > 0
'''


def experiment_text(
    name: str,
    selected: Mapping[str, str],
    sections: Mapping[str, Any],
    reasons: Mapping[str, Mapping[str, Guess]],
) -> str:
    """Write an experiment with the reasons of its values as comments.

    Args:
        name: The experiment's.
        selected: The component of each group that it selects.
        sections: Its keys.
        reasons: By section: the guesses that stand in it, by name.

    Returns:
        YAML.
    """
    lines = [
        "# @package _global_",
        "# Made by run=init. Each value was guessed from the data, for the reason above it: change",
        "# what you know better.",
        "defaults:",
        *(f"  - override /{group}: {choice}" for group, choice in selected.items()),
        "",
        f"name: {name}",
    ]
    for key, value in sections.items():
        lines.append("")
        for word, guess in reasons.get(key, {}).items():
            mark = " Doubtful: look at it." if guess.doubtful else ""
            comment = " ".join(f"{word}: {guess.why}.{mark}".split())
            lines += textwrap.wrap(
                comment, 98, initial_indent="# ", subsequent_indent="#   ", break_long_words=False
            )
        lines.append(_yaml({key: value}))
    return "\n".join(lines) + "\n"


def model_text(model: str, options: Mapping[str, Any]) -> str:
    """Write a model's options as a choice of their own.

    Args:
        model: The model that they belong to.
        options: Its options.

    Returns:
        YAML.
    """
    lines = [
        f"# The options of model={model} for these data. model=OTHER on the command line, such as",
        "# model=auto, replaces all of them.",
        _yaml({"defaults": [model, "_self_"]}),
        "",
        _yaml(options),
    ]
    return "\n".join(lines) + "\n"


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """Writes a list twice where it stands twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(node: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        dict(node),
        Dumper=_Plain,
        default_flow_style=None,
        sort_keys=False,
        width=100,
        allow_unicode=True,
    )
    return text.rstrip()


def project_files(
    name: str, experiment: str, table: str, panel: Mapping[str, Any], data: str
) -> dict[str, str]:
    """Give the text of each file of a project, by its path.

    Args:
        name: The experiment's.
        experiment: Its text.
        table: The primary view.
        panel: The panel's section.
        data: Where the data are.
    """
    facts = {
        "name": name,
        "targets": ", ".join(panel["targets"]),
        "horizon": panel["horizon"],
        "frequency": panel["frequency"],
        "data": data,
    }
    return {
        "conf/config.yaml": _CONFIG,
        f"conf/experiment/{name}.yaml": experiment,
        ".gitignore": _IGNORED,
        "README.md": _README.format(**facts),
        f"tests/test_{name}.py": _TEST.format(name=name, table=table),
    }


def write_project(folder: Path, files: Mapping[str, str], replaced: Collection[str]) -> list[str]:
    """Write the files that are not there yet.

    Args:
        folder: The project's.
        files: The text by path.
        replaced: The paths of the files that are written even where they are there.

    Returns:
        The paths of those that were there and are kept.
    """
    kept_files = []
    for place, text in files.items():
        path = folder / place
        if path.exists() and place not in replaced:
            kept_files.append(place)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(text.encode())
    return kept_files
