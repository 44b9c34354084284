"""Two nodes of a Ray cluster that share no folder with the driver, nor with each other, give the
bytes of a local run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from framework_ray_tune import RayComputeOptions
from framework_ray_tune.cluster import ray
from framework_ray_tune.compute import RayCompute
from ray.cluster_utils import Cluster

from framework.config.sections import BacktestConfig
from framework.evaluation.backtest import Setting, run_backtest
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.options import Options
from framework.pairs.batch_scoring import score
from framework.plugins.compute import LocalCompute
from framework.retrieval.rows_file import RowsFile
from framework.testing import fakes
from framework.testing.panels import make_panel, panel_schema, write_rows

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import a test

pytestmark = pytest.mark.stress


class Nodes(NamedTuple):
    """``folders``: each node's own, of which one is its working folder and one is for temporary
    files.
    """

    address: str
    folders: list[Path]

    def own(self) -> list[str]:
        return sorted(str(path) for folder in self.folders for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head without room for work, on which the driver is, and two nodes with a CPU each, which is
    room for two tasks.
    """
    folders = [tmp_path_factory.mktemp("node") for _ in range(2)]
    head = {"num_cpus": 0, "object_store_memory": 10**8, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for folder in folders:
            (folder / "work").mkdir()
            (folder / "temporary").mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder / "work")
                patch.setenv("TMPDIR", str(folder / "temporary"))
                patch.setenv("PYTHONPATH", str(Path(__file__).parent / "toy"))
                cluster.add_node(num_cpus=1, object_store_memory=10**8)
        cluster.wait_for_nodes()
        yield Nodes(cluster.address, folders)
    finally:
        ray.shutdown()
        cluster.shutdown()


class Visit(NamedTuple):
    node: str
    work: str
    temporary: str
    opened: list[str]
    result: Any


def _visit(function: Callable[[Any, Any], Any], folder: str, shared: Any, item: Any) -> Visit:
    """Note where the function is called, and what it opens below the driver's folder."""
    opened: list[str] = []

    def heard(event: str, arguments: Any) -> None:
        if event == "open" and os.path.abspath(str(arguments[0])).startswith(folder):
            opened.append(str(arguments[0]))

    sys.addaudithook(heard)
    result = function(shared, item)
    node = ray.get_runtime_context().get_node_id()
    return Visit(node, str(Path.cwd()), tempfile.gettempdir(), opened, result)


class VisitedRay(RayCompute):
    """Keeps where each item was worked on."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        super().__init__(
            RayComputeOptions(
                address=nodes.address,
                num_cpus=None,
                dashboard=False,
                ray_open=True,
                cpus_per_task=0.5,
            )
        )
        self.folder, self.visits = folder, list[Visit]()

    def _results(self, function: Any, *others: Any) -> Iterator[Any]:
        for visit in super()._results(partial(_visit, function, str(self.folder)), *others):
            self.visits.append(visit)
            yield visit.result

    def check(self, nodes: Nodes) -> None:
        """Both nodes have worked, each in folders of its own, and none in the driver's."""
        assert len({visit.node for visit in self.visits}) == 2
        assert {Path(v.work).parent for v in self.visits} == {*nodes.folders}
        assert all(Path(v.temporary).parent == Path(v.work).parent for v in self.visits)
        assert [visit.opened for visit in self.visits if visit.opened] == []


@pytest.fixture
def strange(nodes: Nodes) -> Iterator[list[str]]:
    """What the driver opens below the folders of the nodes."""
    opened: list[str] = []
    listening = True

    def heard(event: str, arguments: Any) -> None:
        if listening and event == "open":
            path = Path(os.path.abspath(str(arguments[0])))
            if any(path.is_relative_to(folder) for folder in nodes.folders):
                opened.append(str(path))

    sys.addaudithook(heard)
    yield opened
    listening = False


class DeletedRows(RowsFile):
    """Rows whose file is gone before the first piece is scored: whoever has it open can read it."""

    def pieces(self, size: int) -> list[tuple[int, int]]:
        pieces = super().pieces(size)
        self.path.unlink()
        return pieces


def test_pieces_are_scored_on_both_nodes_and_written_by_the_driver(
    tmp_path: Path, nodes: Nodes, strange: list[str]
) -> None:
    pair, before = fakes.make_pair()[0], nodes.own()
    columns = {"season": fakes.SLOW}
    contents = []
    compute = VisitedRay(nodes, tmp_path)
    for name, place in (("local", LocalCompute(None)), ("ray", compute)):
        rows = write_rows(tmp_path / "rows.parquet", pair.schema, 60, columns=columns)
        output = tmp_path / f"{name}.parquet"
        windows = DeletedRows(rows, pair.schema)
        score(pair, windows, 60 if name == "local" else 7, output, {}, place, [].append)
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]
    assert len(compute.visits) == 9
    compute.check(nodes)
    assert strange == []
    assert nodes.own() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local.parquet", "ray.parquet"]


def _make() -> tuple[Preprocessor, Model]:
    return fakes.FakePreprocessor(Options()), fakes.FakeModel(Options())


def test_folds_are_fitted_on_both_nodes(
    tmp_path: Path, nodes: Nodes, strange: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    panel, before = make_panel(), nodes.own()
    static = panel.static.copy()
    static[:, 1] = fakes.SLOW
    panel = replace(panel, static=static)
    setting = Setting(
        panel, panel_schema(panel), _make, lambda: fakes.FakeModel(Options()), 7, 0, 1
    )
    compute = VisitedRay(nodes, tmp_path)
    results = [
        run_backtest(setting, BacktestConfig(folds=4), place, lambda *_: None)
        for place in (LocalCompute(None), compute)
    ]
    assert results[0].table().equals(results[1].table())
    assert np.isfinite(results[0].forecast).all()
    assert len(compute.visits) == 4
    compute.check(nodes)
    assert strange == []
    assert nodes.own() == before


def test_the_command_line_gives_the_bytes_of_local_runs(project: Any, nodes: Nodes) -> None:
    before, tables, scored = nodes.own(), list[bytes](), list[bytes]()
    project.run("+experiment=toy", "registry=mlflow", "model.level=9.5")
    on_nodes = ("compute=ray", f"ray.address='{nodes.address}'", "ray.open=true")
    output = project.directory / "forecast.parquet"
    for size, overrides in ((2, ()), (1, on_nodes)):
        project.run("+experiment=toy", "run=backtest", "model.level=9.5", *overrides)
        backtests = [*project.directory.glob("state/runs/*/*_backtest*/backtest.parquet")]
        newest = max(backtests, key=lambda path: path.stat().st_mtime_ns)
        tables.append(newest.read_bytes())
        project.run(
            "+experiment=toy",
            "registry=mlflow",
            "run=predict",
            f"predict.output={output}",
            f"predict.piece={size}",
            *overrides,
        )
        scored.append(output.read_bytes())
    assert len(backtests) == 2
    assert tables[0] == tables[1]
    assert scored[0] == scored[1]
    assert nodes.own() == before
