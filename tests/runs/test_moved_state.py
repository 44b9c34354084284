"""A state folder that is copied, with Feast in it: the copy answers the same bytes, and nothing of
the first is read or written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from framework.testing.servers import command
from framework.testing.servers.asking import wait_for

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
STORE = Path(__file__).parents[2] / "conf" / "feature_store"
CONFIG = """
defaults:
  - framework
  - override /feature_store: local
  - override /retrieval: feast
  - _self_
"""


def run(folder: Path, state: Path, *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=shops", f"paths.state={state}", *overrides, cwd=folder)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def forecast(folder: Path, state: Path) -> bytes:
    output = folder / f"{state.name}.parquet"
    run(folder, state, "run=predict", "predict.pair=staging", f"predict.output={output}")
    return output.read_bytes()


@contextmanager
def served(folder: Path, state: Path) -> Iterator[str]:
    """A server of the project on a state, as a command starts it; gives its URL."""
    overrides = ("+experiment=shops", f"paths.state={state}", "run=serve", "alias=staging")
    process = command.start(*overrides, "serving.port=0", "serving.reload.seconds=0.2", cwd=folder)
    try:
        wait_for(lambda: process.wait(0) or process.written().endswith("\n"), 120)
        yield json.loads(process.written().splitlines()[-1])["url"]
    finally:
        process.kill()
        process.finish(60)


@pytest.mark.stress
def test_the_server_of_a_copy_reads_nothing_of_the_first(tmp_path: Path) -> None:
    """What is done to the first changes no answer; nor that it is gone."""
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(STORE, folder / "conf" / "feature_store")
    (folder / "conf" / "config.yaml").write_text(CONFIG)
    first, copy = tmp_path / "first", tmp_path / "copy"
    run(folder, first)
    run(folder, first, "run=alias", "alias=staging", "version=1")
    run(folder, first, "run=materialize")
    shutil.copytree(first, copy)
    entity = {"entity": {"shop": "harbour"}}
    with served(folder, copy) as url, httpx.Client(base_url=url, timeout=60) as http:
        answer = http.post("/predict/feast", json=entity).json()
        assert answer["forecasts"][0]["status"] in ("ok", "stale")
        run(folder, first, "seed=8")
        run(folder, first, "run=alias", "alias=staging", "version=2")
        assert http.post("/admin/reload").json()["aliases"][0]["version"] == 1
        before = hashes(first)
        assert http.post("/predict/feast", json=entity).json() == answer
        assert hashes(first) == before
        shutil.rmtree(first)
        assert http.post("/admin/reload").json()["aliases"][0]["status"] == "current"
        assert http.post("/predict/feast", json=entity).json() == answer
    with served(folder, copy) as url:  # opened anew
        assert httpx.post(f"{url}/predict/feast", json=entity, timeout=60).json() == answer
    assert not first.exists()


@pytest.mark.stress
def test_a_copy_answers_the_same_bytes_and_leaves_the_first_alone(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(STORE, folder / "conf" / "feature_store")
    (folder / "conf" / "config.yaml").write_text(CONFIG)
    first, copy = tmp_path / "first", tmp_path / "copy"
    run(folder, first)
    run(folder, first, "run=alias", "alias=staging", "version=1")
    run(folder, first, "run=materialize")
    answer = forecast(folder, first)
    before = hashes(first)
    shutil.copytree(first, copy)

    assert forecast(folder, copy) == answer
    assert run(folder, copy, "run=verify")["findings"] == []
    assert run(folder, copy, "run=verify", "what=features")["differences"] == []
    assert run(folder, copy, "run=reproduce", "alias=staging")["equal"] is True
    run(folder, copy, "run=ingest")
    run(folder, copy, "run=materialize")
    assert run(folder, copy, "seed=8")["pair"]["version"] == 2
    assert hashes(first) == before

    shutil.rmtree(first)
    assert forecast(folder, copy) == answer
    assert run(folder, copy, "run=verify", "what=features")["differences"] == []
    assert run(folder, copy, "run=reproduce", "alias=staging")["equal"] is True
    assert not first.exists()
