"""The files of a new plugin: a model that works, its options, its contract test."""

from __future__ import annotations

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "model={name} for framework-core"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["framework-core>={core},<{following}", "numpy>=2"]

[project.optional-dependencies]
test = ["framework-testing>={core},<{following}"]

[project.entry-points.framework]
{name} = "{package}"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""
_OFFER = '''\
"""``model={name}``."""

from __future__ import annotations

from pydantic import PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options

#: The version of the interfaces that this plugin was written for.
FRAMEWORK_API = {api}


class {title}Options(Options):
    """``window``: the newest steps that the line is drawn through."""

    window: PositiveInt = 14


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "{name}",
            "{package}.model:{title}",
            {title}Options,
            "the line through the ends of a window",
        )
    ]
'''
_MODEL = '''\
"""The line through the first and the last value of the window. Put your model here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.interfaces.model import Model
from {package} import {title}Options


class {title}(Model):
    options: {title}Options

    def context_length(self, schema_hint: int) -> int:
        return self.options.window

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        """Learn the mean of each target, for the steps that have no value."""
        target = train.gather().target
        assert target is not None  # training windows have one
        self.horizon = schema.horizon
        self.level = np.nanmean(target, axis=(0, 1)).tolist()

    def predict(self, windows: Windows) -> Float64:
        past = np.where(np.isnan(windows.target_past), self.level, windows.target_past)
        slope = (past[:, -1:] - past[:, :1]) / max(past.shape[1] - 1, 1)
        steps = np.arange(1, self.horizon + 1)[None, :, None]
        forecast: Float64 = (past[:, -1:] + slope * steps)[..., None]
        return forecast

    def save(self, directory: Path) -> None:
        options = self.options.model_dump()
        state = {{"options": options, "horizon": self.horizon, "level": self.level}}
        (directory / "{name}.json").write_text(json.dumps(state))

    @classmethod
    def load(cls, directory: Path) -> Self:
        state = json.loads((directory / "{name}.json").read_text())
        model = cls({title}Options.model_validate(state["options"]))
        model.horizon, model.level = state["horizon"], state["level"]
        return model
'''
_TEST = '''\
"""``model={name}`` keeps the contract of models."""

from framework.testing.contracts.model import ModelContract


class Test{title}(ModelContract):
    name = "{name}"
'''
_README = """\
# {distribution}

`model={name}` for framework-core.

    pip install -e '.[test]'
    python -m pytest
    python -m framework run=plugins          # is it found?
    python -m framework +experiment=NAME model={name} model.window=7

Or in an experiment:

    defaults:
      - override /model: {name}
    model: {{window: 7}}
"""
_CI = """\
name: test
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python: "3.11"}
      - run: pip install '.[test]'
      - run: python -m pytest
"""


def plugin_files(name: str, core: str, api: int) -> dict[str, str]:
    """Give the text of each file of a new plugin, by its path.

    Args:
        name: What the distribution is called; the model and the package have it with ``_``.
        core: The version of the core.
        api: The version of the interfaces.
    """
    package = name.replace("-", "_").replace(".", "_").lower()
    major, minor = core.split(".")[:2]
    facts = {
        "distribution": name,
        "package": package,
        "name": package,
        "title": "".join(word.capitalize() for word in package.split("_")),
        "core": f"{major}.{minor}",
        "following": f"{major}.{int(minor) + 1}",
        "api": api,
    }
    return {
        "pyproject.toml": _PYPROJECT.format(**facts),
        f"{package}/__init__.py": _OFFER.format(**facts),
        f"{package}/model.py": _MODEL.format(**facts),
        f"tests/test_{package}.py": _TEST.format(**facts),
        "README.md": _README.format(**facts),
        ".github/workflows/test.yml": _CI.replace("python:", "python-version:"),
        ".gitignore": "__pycache__/\n.pytest_cache/\ndist/\nstate/\n",
    }
