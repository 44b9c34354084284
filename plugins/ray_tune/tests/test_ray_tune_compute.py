"""Batch scoring on Ray: the file of a local run, byte for byte, whatever dies
meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from framework_ray_tune import RayComputeOptions
from framework_ray_tune.cluster import connected, ray
from framework_ray_tune.compute import RayCompute

from framework.data.forecast_table import forecast_table
from framework.errors import DataError
from framework.pairs.batch_scoring import score
from framework.plugins.compute import LocalCompute
from framework.retrieval.rows_file import RowsFile
from framework.testing import fakes
from framework.testing.panels import write_rows

LONG = fakes.make_schema(context_length=3)
#: Scores a file on the cluster at an address, as a run does.
DRIVER = """
import sys
from pathlib import Path
from framework.retrieval.rows_file import RowsFile
from framework.pairs.batch_scoring import score
from framework.testing import fakes
from framework_ray_tune import RayComputeOptions
from framework_ray_tune.compute import RayCompute
address, rows, output = sys.argv[1:]
pair = fakes.make_pair()[0]
options = RayComputeOptions(address=address, num_cpus=None, dashboard=False)
score(pair, RowsFile(Path(rows), pair.schema), 10, Path(output), {"pair": "p"}, RayCompute(options), print)
"""  # noqa: E501


@pytest.fixture(scope="module")
def options() -> Iterator[RayComputeOptions]:
    """Of a Ray with two CPUs, to which this process is connected."""
    made = RayComputeOptions(
        address=None, num_cpus=2, dashboard=False, object_store_memory=100_000_000
    )
    with connected(made):
        yield made


@pytest.mark.stress
@pytest.mark.gate_cases(1)
@pytest.mark.parametrize("schema", [fakes.make_schema(), LONG], ids=["rows", "history"])
def test_the_file_is_that_of_a_local_run_byte_for_byte(
    tmp_path: Path, options: RayComputeOptions, schema: Any
) -> None:
    pair = fakes.make_pair(schema)[0]
    path = write_rows(
        tmp_path / "rows.parquet",
        schema,
        60,
        1 if schema.context_length == 1 else 5,
        row_group_size=17,
    )
    found = {}
    for name, compute in (("local", LocalCompute(None)), ("ray", RayCompute(options))):
        output = tmp_path / f"{name}.parquet"
        scored = score(pair, RowsFile(path, schema), 7, output, {"pair": "p"}, compute, [].append)
        found[name] = (scored, output.read_bytes())
    assert found["ray"] == found["local"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "local.parquet",
        "ray.parquet",
        "rows.parquet",
    ]


def test_what_a_piece_refuses_is_refused_as_it_was_said(
    tmp_path: Path, options: RayComputeOptions
) -> None:
    pair = fakes.make_pair()[0]
    path = write_rows(tmp_path / "rows.parquet", pair.schema, 30)
    rows = pd.read_parquet(path)
    rows.loc[25, "carrier"] = None
    rows.to_parquet(path, index=False)
    with pytest.raises(DataError, match="row 25, column carrier: null; a key is needed"):
        score(
            pair,
            RowsFile(path, pair.schema),
            10,
            tmp_path / "forecast.parquet",
            {"pair": "p"},
            RayCompute(options),
            [].append,
        )


@pytest.mark.stress
def test_a_worker_that_dies_is_made_anew(tmp_path: Path, options: RayComputeOptions) -> None:
    def dies_once(flag: Path, item: int) -> int:
        if item == 5 and not flag.exists():
            flag.touch()
            os._exit(9)
        return item * item

    assert sorted(RayCompute(options).stream(dies_once, tmp_path / "flag", range(12))) == [
        i * i for i in range(12)
    ]
    assert (tmp_path / "flag").exists()


@pytest.mark.stress
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, options: RayComputeOptions) -> None:
    pair, output, said = fakes.make_pair()[0], tmp_path / "forecast.parquet", list[str]()
    path = write_rows(tmp_path / "rows.parquet", pair.schema, 120, columns={"season": fakes.SLOW})
    address = ray.get_runtime_context().gcs_address
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, address, str(path), str(output)])
    parts = tmp_path / "forecast.parquet.parts"
    end = time.monotonic() + 120
    while len(list(parts.glob("*.parquet"))) < 3 and time.monotonic() < end:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = len(list(parts.glob("*.parquet")))
    assert 3 <= kept < 12
    score(
        pair,
        RowsFile(path, pair.schema),
        10,
        output,
        {"pair": "p"},
        RayCompute(options),
        said.append,
    )
    assert said[0].startswith("predict: goes on after ")
    assert int(said[0].split()[4]) >= kept
    whole = pair.forecast(RowsFile(path, pair.schema).context((0, 120)))
    pd.testing.assert_frame_equal(
        pd.read_parquet(output), forecast_table(whole, pair.schema.entity_keys)
    )
