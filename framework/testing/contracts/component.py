"""Checks of the contract suites of all kinds about a component: how it is offered, made, saved."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from omegaconf import OmegaConf

from framework.config.groups import default_node
from framework.errors import ConfigError
from framework.interfaces.plugin import Component, Kind
from framework.options import validate
from framework.plugins.discovery import load_plugins
from framework.testing.panels import SEASON

#: Libraries that a plugin's module must not import at every start.
HEAVY = (
    "confluent_kafka",
    "darts",
    "feast",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "pandas",
    "ray",
    "redis",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
    "xgboost",
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


class ComponentContract:
    """``name``: the component's name in a composition. ``options``: those of its options that the
    tests set.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def component(self) -> Component:
        """Find the component among the installed plugins.

        Returns:
            What the plugin offers.
        """
        return load_plugins().find(self.kind, self.name)

    def make(self, **changed: Any) -> Any:
        """Make a new instance, its defaults resolved and its options checked as in a run.

        Args:
            changed: Options that differ from those of the suite.

        Returns:
            The instance.
        """
        component = self.component()
        node = {**default_node(component.name, component.options), **self.options, **changed}
        tree = OmegaConf.create(
            {
                "paths": {"state": "state"},
                "seed": 7,
                "panel": {"season_length": SEASON},
                "node": node,
            }
        )
        values: Any = OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
        del values["node"]["name"]
        return load_plugins().load(self.kind, self.name)(
            validate(component.options, values["node"], self.kind)
        )

    def test_an_unknown_option_is_refused_by_its_name(self) -> None:
        with pytest.raises(ConfigError, match="no_such_option"):
            self.make(no_such_option=1)

    def test_the_constructor_only_stores_the_options(self) -> None:
        assert set(vars(self.make())) == {"options"}

    def test_the_plugin_module_is_light(self) -> None:
        module = self.component().load.split(".")[0]
        code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
        process = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert process.stdout.strip() == "[]", f"{module} imports these at every start"


def saved(component: Any, directory: Path) -> dict[str, bytes]:
    """Save a component and read what it saved.

    Args:
        component: The fitted component.
        directory: Where it is saved; it is made.

    Returns:
        The files by their path, archives by their members (they hold times of their own).
    """
    directory.mkdir()
    component.save(directory)
    files: dict[str, bytes] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name, data = path.relative_to(directory).as_posix(), path.read_bytes()
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
        else:
            files[name] = data
    return files


def assert_no_pickle(files: dict[str, bytes]) -> None:
    """Check that no file or member is a pickle, by name or content, and no array holds objects.

    Args:
        files: What :func:`saved` gave.
    """
    assert files, "nothing was saved"
    for name, data in files.items():
        assert not name.endswith((".pkl", ".pickle", ".joblib", ".dill")), name
        assert not _PICKLE.match(data), f"{name} is a pickle"
        if name.endswith(".npy"):
            np.load(io.BytesIO(data), allow_pickle=False)
