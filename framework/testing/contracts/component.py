"""Checks of the contract suites of all kinds about a component: how it is offered, made, saved."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from omegaconf import OmegaConf

from framework.config.catalog import Plugins
from framework.config.groups import default_node
from framework.config.origins import SLOW
from framework.errors import ConfigError
from framework.interfaces.plugin import Component, Kind
from framework.options import validate
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.findings import refusal
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
#: Threads of libraries that stop and start their own around a fork: pyarrow's allocator.
FORK_SAFE = ("jemalloc_bg_thd",)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


class ComponentContract:
    """``name``: the component's name in a composition. ``options``: those of its options that the
    tests set.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def plugins(self, *extra: object) -> Plugins:
        """Find the plugins, this one among them.

        Args:
            extra: Plugin modules beside the installed ones.

        Returns:
            The plugins.
        """
        return load_plugins(extra=extra)

    def component(self) -> Component:
        """Find the component among the plugins.

        Returns:
            What its plugin offers.
        """
        return self.plugins().find(self.kind, self.name)

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
        return self.plugins().load(self.kind, self.name)(
            validate(component.options, values["node"], self.kind)
        )

    def test_an_unknown_option_is_refused_by_its_name(self) -> None:
        refusal(
            lambda: self.make(no_such_option=1),
            ConfigError,
            "an option that the class of options does not have",
            "no_such_option",
        )

    def test_the_constructor_only_stores_the_options(self) -> None:
        only_options(self.make())

    def test_the_plugin_module_is_light(self) -> None:
        module = self.component().load.partition(":")[0].partition(".")[0]
        heavy, seconds = _imported(module)
        assert not heavy, (
            f"{module}, the module of the entry point, imports {', '.join(heavy)} at every start, "
            "--help included; import them in the module of the class, or in its methods."
        )
        assert seconds < SLOW, (
            f"{module}, the module of the entry point, takes {seconds:.1f} s of every start to be "
            "imported; move what takes so long to the module of the class."
        )

    def test_what_it_names_in_imports_starts_no_thread(self) -> None:
        threads = _threads(self.component().imports)
        assert not threads, (
            f"a module that Component.imports of '{self.name}' names starts threads "
            f"({', '.join(threads)}); the workers of a server are copies of the process that has "
            "imported it, and would wait for threads that they do not have. Leave it out."
        )


@cache
def _imported(module: str) -> tuple[list[str], float]:
    """Import a module in a process of its own. Suites of one plugin ask once.

    Returns:
        The heavy libraries that come with it, and the seconds of a processor that it takes beside
        what every plugin imports.
    """
    code = (
        "import json, sys, time\n"
        "import framework.interfaces.plugin, framework.options\n"
        "start = time.process_time()\n"
        f"import {module}\n"
        "spent = time.process_time() - start\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print(json.dumps([heavy, spent]))"
    )
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, (
        f"{module}, the module of the entry point, cannot be imported by itself: "
        f"{process.stderr.strip().splitlines()[-1]}"
    )
    heavy, seconds = json.loads(process.stdout.splitlines()[-1])
    return heavy, seconds


@cache
def _threads(modules: tuple[str, ...]) -> list[str]:
    """Import modules in a process of their own.

    Returns:
        The names of the threads that this process has then, without the first and those that bear
        a fork. OpenBLAS starts its threads again in a copy, and is told to start none.
    """
    if not modules:
        return []
    code = (
        "import importlib, json, pathlib, threading\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        "own = {t.native_id: t.name for t in threading.enumerate()}\n"
        "first = threading.main_thread().native_id\n"
        "tasks = pathlib.Path('/proc/self/task')\n"
        "ids = {int(t.name) for t in tasks.iterdir()} if tasks.is_dir() else {*own}\n"
        "name = lambda t: own.get(t) or (tasks / str(t) / 'comm').read_text().strip()\n"
        "print(json.dumps([name(t) for t in sorted(ids - {first})]))"
    )
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, (
        f"Component.imports {list(modules)} cannot be imported: "
        f"{process.stderr.strip().splitlines()[-1]}"
    )
    return [name for name in json.loads(process.stdout.splitlines()[-1]) if name not in FORK_SAFE]


def only_options(component: Any) -> None:
    """Check that a constructor has stored its options and done nothing else.

    Args:
        component: A new instance.

    Raises:
        AssertionError: It has more attributes.
    """
    more = sorted(set(vars(component)) - {"options"})
    assert not more, (
        f"the constructor of {type(component).__name__} sets {', '.join(more)} beside its options; "
        "a component is also made to be asked for something or sent to another process, so open "
        "and compute in the method that first needs it."
    )
    assert "options" in vars(component), (
        f"the constructor of {type(component).__name__} does not store its options; call "
        "super().__init__(options)."
    )


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


def sent(component: Any, directory: Path) -> Any:
    """Open a component as a run does, and send it to another process, which may be on a machine
    that does not have the folder it was opened from.

    Args:
        component: The fitted component.
        directory: Where it is saved; it is made, and removed.

    Returns:
        The component that arrives.

    Raises:
        AssertionError: It cannot be sent.
    """
    saved(component, directory)
    copy = type(component).load(directory)
    shutil.rmtree(directory)
    try:
        return pickle.loads(pickle.dumps(copy))  # noqa: S301 - its own bytes
    except Exception as error:
        raise AssertionError(
            f"{type(component).__name__} cannot be sent to a worker of compute=processes or ray: "
            f"{error!r}; leave out of its state what cannot be pickled, such as a lock, and read "
            "in load all that the folder holds."
        ) from error


def assert_no_pickle(files: dict[str, bytes]) -> None:
    """Check that no file or member is a pickle, by name or content, and no array holds objects.

    Args:
        files: What :func:`saved` gave.
    """
    assert files, "save(directory) writes no file, so nothing could be loaded again."
    for name, data in files.items():
        pickled = name.endswith((".pkl", ".pickle", ".joblib", ".dill")) or _PICKLE.match(data)
        if name.endswith(".npy") and not pickled:
            try:
                np.load(io.BytesIO(data), allow_pickle=False)
            except ValueError:
                pickled = True
        assert not pickled, (
            f"save(directory) writes {name} as a pickle, which runs whatever code it holds when a "
            "server loads it; write JSON, npz or the library's own format."
        )
