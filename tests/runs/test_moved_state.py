"""A state folder that is copied, with Feast in it: the copy answers the same bytes, and nothing of
the first is read or written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from framework.testing.servers import command

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
