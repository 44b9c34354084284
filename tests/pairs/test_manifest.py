"""Pairs on disk: what is written can be proven and opened; whatever is changed is named and
refused.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from framework.config.catalog import Plugins
from framework.errors import FrameworkError, RefusedError
from framework.pairs.artifacts import Evidence, open_half, open_pair, write_pair
from framework.pairs.golden import Golden, golden_of, replay
from framework.pairs.intervals import INTERVALS
from framework.pairs.manifest import (
    HALVES,
    MANIFEST,
    canonical,
    digest_of,
    make_manifest,
    prove,
    write_manifest,
)
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.fakes import make_pair, make_schema

NAMES = {"preprocessor": "fake", "model": "fake"}
Artifacts = dict[str, Path]


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(extra=[fakes])


def _write(directory: Path, run_id: str = "run-1") -> tuple[Artifacts, str]:
    """A registered pair: both data directories and the manifest in each."""
    pair, golden = make_pair()
    evidence = Evidence(golden, pd.DataFrame({"actual": [1.0]}), {"source": {}, "panel": {}})
    write_pair(directory, pair, NAMES, evidence)
    artifacts = {half: directory / half for half in HALVES}
    manifest = make_manifest(
        artifacts,
        pair_id=f"id of {run_id}",
        run_id=run_id,
        schema=pair.schema,
        config="a: 1\n",
        requirements=("numpy==2",),
    )
    write_manifest(artifacts, manifest)
    return artifacts, manifest["digest"]


def test_what_was_written_is_proven_and_answers_as_before(tmp_path: Path, plugins: Plugins) -> None:
    artifacts, digest = _write(tmp_path)
    manifest = prove(artifacts, digest)
    assert set(manifest) == {
        "format",
        "pair_id",
        "run_id",
        "schema",
        "config",
        "environment",
        "files",
        "digest",
    }
    assert manifest["environment"]["numpy"] == np.__version__
    pair = open_pair(artifacts["preprocessor"], artifacts["model"], plugins)
    golden = golden_of(artifacts["model"])
    replay(pair, golden)
    assert pair.forecast(golden.context).values.tobytes() == golden.values.tobytes()


def test_every_file_of_both_halves_is_in_the_manifest(tmp_path: Path) -> None:
    artifacts, digest = _write(tmp_path)
    for half, files in prove(artifacts, digest)["files"].items():
        on_disk = {
            p.relative_to(artifacts[half]).as_posix()
            for p in artifacts[half].rglob("*")
            if p.is_file()
        }
        assert on_disk == {*files, MANIFEST}


def _edit(name: str, change: Callable[[str], str], *halves: str) -> Callable[[Artifacts], object]:
    def tamper(artifacts: Artifacts) -> None:
        for half in halves:
            path = artifacts[half] / name
            path.write_text(change(path.read_text()))

    return tamper


def _forge(artifacts: Artifacts) -> None:
    """Change a file and make both manifests, with their digest, agree with it."""
    (artifacts["model"] / "state" / "model.json").write_text(
        '{"horizon": 3, "quantiles": [0.2, 0.8]}'
    )
    old = json.loads((artifacts["model"] / MANIFEST).read_text())
    schema = make_schema()
    write_manifest(
        artifacts,
        make_manifest(
            artifacts,
            pair_id=old["pair_id"],
            run_id="run-1",
            schema=schema,
            config="a: 1\n",
            requirements=(),
        ),
    )


def _reword(text: str) -> str:
    body = json.loads(text)
    return canonical({**body, "config": "a: 2\n"})


REFUSALS: dict[str, tuple[Callable[[Artifacts], object], str]] = {
    "manifest gone": (
        lambda a: (a["preprocessor"] / MANIFEST).unlink(),
        "preprocessor half: {preprocessor}/pair.json is missing; the pair cannot be proven.",
    ),
    "half gone": (
        lambda a: shutil.rmtree(a["model"]),
        "model half: {model}/pair.json is missing; the pair cannot be proven.",
    ),
    "manifests differ": (
        _edit(MANIFEST, _reword, "model"),
        "the manifests of {preprocessor} and {model} differ: they are not a pair.",
    ),
    "manifest is no JSON": (
        _edit(MANIFEST, lambda text: text[:-1], *HALVES),
        "{model}/pair.json is not JSON (",
    ),
    "manifest reworded": (
        _edit(MANIFEST, _reword, *HALVES),
        "the manifest of pair id of run-1 was changed: its content does not give {digest}.",
    ),
    "forged with its own digest": (_forge, "the manifest's digest is "),
    "file changed": (
        _edit("state/model.json", lambda text: text.replace("3", "4", 1), "model"),
        "model half: file state/model.json was changed (sha256 ",
    ),
    "file gone": (
        lambda a: (a["preprocessor"] / "state" / "means.npz").unlink(),
        "preprocessor half: file state/means.npz is missing.",
    ),
    "file added": (
        lambda a: (a["model"] / "state" / "more.bin").write_bytes(b"x"),
        "model half: file state/more.bin was added.",
    ),
    "pipe in the place of a file": (
        lambda a: ((a["model"] / "data.json").unlink(), os.mkfifo(a["model"] / "data.json")),
        "model half: file data.json was changed (sha256 e3b0c44298fc",
    ),
    "evidence changed": (
        _edit("data.json", lambda text: text + " ", "model"),
        "model half: file data.json was changed (sha256 ",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_differs_is_named(name: str, tmp_path: Path) -> None:
    tamper, message = REFUSALS[name]
    artifacts, digest = _write(tmp_path)
    tamper(artifacts)
    with pytest.raises(RefusedError) as caught:
        prove(artifacts, digest)
    places = {half: str(path) for half, path in artifacts.items()}
    assert str(caught.value).startswith(message.format(**places, digest=digest[:12]))
    assert caught.value.exit_code == 3


def test_every_single_file_is_guarded(tmp_path: Path) -> None:
    artifacts, digest = _write(tmp_path)
    for half in HALVES:
        for path in [p for p in artifacts[half].rglob("*") if p.is_file()]:
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            with pytest.raises(RefusedError):
                prove(artifacts, digest)
            path.write_bytes(whole)
    prove(artifacts, digest)


def test_halves_of_two_runs_are_not_a_pair(tmp_path: Path) -> None:
    """Equal bytes in every component file, only the runs differ."""
    first, digest = _write(tmp_path / "a")
    second, other = _write(tmp_path / "b", "run-2")
    mixed = {"preprocessor": first["preprocessor"], "model": second["model"]}
    with pytest.raises(RefusedError, match="differ: they are not a pair"):
        prove(mixed, digest)
    with pytest.raises(
        RefusedError,
        match=f"digest is {other[:12]}, the registry recorded {digest[:12]}: a manifest of "
        "another pair",
    ):
        prove(second, digest)


def test_schemas_that_differ_are_not_opened(tmp_path: Path, plugins: Plugins) -> None:
    artifacts, _ = _write(tmp_path)
    path = artifacts["model"] / "schema.json"
    path.write_text(path.read_text().replace('"horizon": 3', '"horizon": 4'))
    with pytest.raises(RefusedError, match=r"the schemas of .* differ: they are not a pair"):
        open_pair(artifacts["preprocessor"], artifacts["model"], plugins)


def test_a_half_of_the_other_kind_is_not_opened(tmp_path: Path, plugins: Plugins) -> None:
    artifacts, _ = _write(tmp_path)
    with pytest.raises(RefusedError, match="holds a model, a preprocessor was expected"):
        open_half(artifacts["model"], "preprocessor", plugins)


def test_what_an_earlier_version_wrote_is_refused_in_one_line(
    tmp_path: Path, plugins: Plugins
) -> None:
    artifacts, _ = _write(tmp_path)
    np.savez(artifacts["model"] / INTERVALS, floor=np.zeros(1))
    with pytest.raises(
        RefusedError, match=r"intervals.npz: written by another version.*KeyError.*; train again\.$"
    ):
        open_pair(artifacts["preprocessor"], artifacts["model"], plugins)


def test_a_changed_answer_is_refused_and_a_small_difference_is_not(tmp_path: Path) -> None:
    pair, golden = make_pair()
    replay(pair, Golden(golden.context, golden.values * (1 + 1e-9), 1e-6))
    with pytest.raises(
        RefusedError,
        match=r"pair 'fake': the golden batch differs by 0\.0\d+ \(relative\), 1e-06 allowed",
    ):
        replay(pair, Golden(golden.context, golden.values * 1.01, 1e-6))


def test_a_model_without_its_golden_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FrameworkError, match=r"golden.json is missing; register the pair again"):
        golden_of(tmp_path)


def test_a_manifest_is_told_by_its_text_and_by_its_content(tmp_path: Path) -> None:
    """One that is laid out otherwise has the same content; one with an entry of its digest more has
    not.
    """
    artifacts, digest = _write(tmp_path)
    text = (artifacts["model"] / MANIFEST).read_text()
    for half in HALVES:
        (artifacts[half] / MANIFEST).write_text(json.dumps(json.loads(text), indent=1))
    assert canonical(prove(artifacts, digest)) == text
    twice = text.replace('"schema":{', f'"schema":{{"digest":"{digest}",')
    for half in HALVES:
        (artifacts[half] / MANIFEST).write_text(twice)
    with pytest.raises(RefusedError, match="was changed: its content does not give"):
        prove(artifacts, digest)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of(
        {"b": {"d": 3, "c": 2}, "a": 1, "digest": "whatever"}
    )
    assert digest_of({"a": 1}) != digest_of({"a": 2})
