"""The fixtures ``panels``, ``project``, ``registry`` and ``server``, which ``framework-testing``
registers with pytest.

A fixture of a test's own with one of these names takes its place. What a fixture needs is imported
when it is used, so that a test run which uses none pays nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from framework.data.panel import Panel
    from framework.testing.folder_registry import FolderRegistry

_CONFIG = """\
defaults:
  - framework
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
  - _self_
name: shops
source:
  files: {sales: data/sales.csv}
features:
  primary: sales
  views:
    sales: {entity: [shop], columns: [sales, visits, format], categories: [format], ttl: 1d}
panel:
  targets: [sales]
  frequency: D
  horizon: 7
  season_length: 7
backtest: {folds: 2}
validation: {steps: 14}
"""


class Project:
    """A project with daily sales of six shops, in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self) -> None:
        """Write its configuration and its data."""
        from framework.testing.panels import sales_table

        (self.folder / "conf").mkdir()
        (self.folder / "data").mkdir()
        (self.folder / "conf" / "config.yaml").write_text(_CONFIG)
        sales_table().to_csv(self.folder / "data" / "sales.csv", index=False)

    def run(self, *overrides: str) -> dict[str, Any]:
        """Run ``python -m framework`` in the project.

        Args:
            overrides: Such as ``model=mine`` and ``run=predict``.

        Returns:
            The result, the last line of the output.

        Raises:
            AssertionError: It ends with another code than 0; the message is its error.
        """
        from framework.testing.servers import command

        process = command.run(*overrides, cwd=self.folder)
        lines = process.stderr.strip().splitlines()
        assert process.returncode == 0, (
            f"framework {' '.join(overrides)} ends with {process.returncode}: "
            f"{lines[-1] if lines else process.stdout}"
        )
        result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return result


@pytest.fixture
def panels() -> Callable[..., Panel]:
    """Give what makes synthetic panels: ``panels(series=6, days=120, seed=3)``.

    Returns:
        :func:`framework.testing.panels.make_panel`.
    """
    from framework.testing.panels import make_panel

    return make_panel


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a project that trains a seasonal naive model from a CSV file; ``run`` takes what is to
    be another: ``project.run("model=mine")``.

    Args:
        tmp_path: A folder of the test's own.

    Returns:
        The project.
    """
    project = Project(tmp_path)
    project.write()
    return project


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """Make a registry in a folder that has version 3 of a pair of fakes, under ``production``.

    Args:
        tmp_path_factory: Makes the folder.

    Returns:
        The registry: ``add(4)`` registers another pair, ``point("production", 4)`` moves the alias,
        ``change_byte(4)`` spoils a pair, ``take_away()`` takes the registry from its servers.
    """
    from framework.testing.folder_registry import FolderRegistry

    registry = FolderRegistry(tmp_path_factory.mktemp("registry"))
    registry.add(3)
    registry.point("production", 3)
    return registry


@pytest.fixture
def server(registry: FolderRegistry) -> Iterator[Callable[..., httpx.Client]]:
    """Give what starts a serving backend, in a process of its own, on the pairs of ``registry``:
    ``server("mine", port=0)``.

    Args:
        registry: The registry that it follows.

    Yields:
        A function of the backend's name and options that returns a client of the server.
    """
    import httpx

    from framework.testing.servers.fake_server import server_process

    with ExitStack() as stack:

        def start(backend: str, **options: Any) -> httpx.Client:
            process = server_process(backend, options, registry.directory)
            _, url = stack.enter_context(process)
            return stack.enter_context(httpx.Client(base_url=url, timeout=30))

        yield start
