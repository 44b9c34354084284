"""A table that is larger than the memory goes into the store in parts of whole series: the same
bytes as at once, and all of them or none.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_module

from framework.config.config import build_config
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.ingestion.ingestion import Ingestion
from framework.plugins import composition
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run

WHOLE, PART = 1_000_000, 50


@cache
def plugins() -> Any:
    loaded = load_plugins()
    composition.register(loaded)
    return loaded


@cache
def make_run(folder: Path, state: str, removed: str, chunk: int) -> Run:
    overrides = [
        "run=ingest",
        "source=files",
        f"source.chunk={chunk}",
        f"++source.files={{sales: '{folder}/sales-*.parquet'}}",
        "panel.targets=[y]",
        "panel.frequency=D",
        "panel.horizon=2",
        f"paths.state={folder / state}",
        f"ingest.removed={removed}",
        "++features={primary: sales, views: {sales: {entity: [town, shop], columns: [y], ttl: 1d, "
        "engineer: [{op: lag, columns: [y], steps: [1]}]}}}",
    ]
    known = plugins()
    with initialize_config_module("framework.conf", version_base="1.3"):
        config = build_config(compose("framework", overrides), known)
    return Run(config, known, folder / state, lambda _: None)


def ingest(folder: Path, state: str, removed: str, chunk: int) -> Ingestion:
    run = make_run(folder, state, removed, chunk)
    ingestion = Ingestion(
        run.config, run.say, run.make("source"), run.make("retrieval"), lambda: None
    )
    ingestion.once(Event())
    return ingestion


def sales() -> pd.DataFrame:
    """Series whose first key repeats, shuffled by day; some keys sort in no obvious order."""
    keys = [("Å", "1"), ("Oslo", "10"), ("Oslo", "2"), ("Oslo", "9"), ("a'b", "1"), ("Z", "z")]
    days = pd.date_range("2024-01-01", periods=20)
    rows = [(town, shop, day, float(i)) for town, shop in keys for i, day in enumerate(days)]
    frame = pd.DataFrame(rows, columns=["town", "shop", TIME, "y"])
    return frame.sort_values(TIME, kind="stable", ignore_index=True)


def write(folder: Path, rows: pd.DataFrame) -> None:
    half = len(rows) // 2
    rows.iloc[:half].to_parquet(folder / "sales-1.parquet")
    rows.iloc[half:].to_parquet(folder / "sales-2.parquet")


def stored(folder: Path, state: str) -> bytes:
    (file,) = (folder / state / "offline").glob("*.parquet")
    return file.read_bytes()


@pytest.mark.parametrize("removed", ["warn", "remove"])
def test_parts_are_stored_as_the_whole_at_first_and_after_corrections(
    tmp_path: Path, removed: str
) -> None:
    states = (("whole", WHOLE), ("parts", PART))
    write(tmp_path, sales())
    first = {state: ingest(tmp_path, state, removed, chunk) for state, chunk in states}
    assert first["parts"].counts == first["whole"].counts
    assert stored(tmp_path, "parts") == stored(tmp_path, "whole")
    rows = sales()
    rows.loc[rows["shop"] == "9", "y"] += 0.5  # corrected
    rows = rows[rows["town"] != "Z"]  # a series that is gone
    rows = rows[(rows["shop"] != "2") | (rows[TIME] < "2024-01-18")]  # an end that is gone
    more = rows[rows["shop"] == "10"].assign(town="B")  # a new series in between
    write(tmp_path, pd.concat([rows, more], ignore_index=True))
    second = {state: ingest(tmp_path, state, removed, chunk) for state, chunk in states}
    assert second["parts"].counts == second["whole"].counts
    assert second["parts"].counts["sales"].stored >= 40
    assert second["parts"].removed == second["whole"].removed
    assert len(second["whole"].removed or second["whole"].warnings) == 1
    assert [line[:60] for line in second["parts"].warnings] == [
        line[:60] for line in second["whole"].warnings
    ]
    assert stored(tmp_path, "parts") == stored(tmp_path, "whole")
    again = ingest(tmp_path, "parts", removed, PART)
    assert again.counts["sales"].stored == 0


def test_a_part_that_is_refused_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, sales())
    ingest(tmp_path, "parts", "warn", PART)
    before = stored(tmp_path, "parts")
    rows = sales()
    rows["y"] += 1
    rows.loc[rows["town"] == "Å", "y"] = np.inf  # the last series of all
    write(tmp_path, rows)
    with pytest.raises(DataError, match="infinite"):
        ingest(tmp_path, "parts", "warn", PART)
    assert stored(tmp_path, "parts") == before
    assert not list((tmp_path / "parts" / "offline").glob(".*.tmp"))


def test_row_groups_do_not_depend_on_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.retrieval.parquet_writer.ROW_GROUP", 35)
    write(tmp_path, sales())
    for state, chunk in (("fifty", 50), ("twenty", 20)):
        ingest(tmp_path, state, "warn", chunk)
    assert stored(tmp_path, "fifty") == stored(tmp_path, "twenty")
    (file,) = (tmp_path / "fifty" / "offline").glob("*.parquet")
    metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [35, 35, 35, 15]
