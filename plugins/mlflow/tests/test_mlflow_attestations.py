"""A registered pair brings an in-toto statement and a CycloneDX list of distributions: in the forms
that others read, and covered by the manifest.
"""

from __future__ import annotations

import hashlib
import json
import time
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from framework_mlflow.registry.registry import MlflowRegistry
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from framework.errors import RefusedError
from framework.pairs.artifacts import DATA
from framework.pairs.attestations import BILL, STATEMENT, write_attestations
from framework.pairs.manifest import HALVES, MANIFEST, SIGNATURE, canonical, hash_files
from framework.pairs.provenance import versions
from framework.testing.contracts.drafts import make_draft

CONFIG = "run: train\nseed: 7\n"
DIGEST = hashlib.sha256(b"rows of a month").hexdigest()


@pytest.fixture
def halves(registry: MlflowRegistry, tmp_path: Path) -> dict[str, Path]:
    draft = make_draft(tmp_path / "draft", config=CONFIG)
    data = {"source": {"sales.csv": "rows 12"}, "panel": {"2013-02": DIGEST}}
    (draft.model / DATA).write_text(canonical(data))
    pair = registry.register(draft, "run-1")
    registered = registry.ledger.registered("fake", pair.version)
    assert registered is not None
    return {half: Path(source) for half, source in registered.sources.items()}


def test_the_statement_says_of_what_the_pair_was_made(halves: dict[str, Path]) -> None:
    text = (halves["model"] / STATEMENT).read_text()
    message = json_format.Parse(text, statement_pb2.Statement())  # refuses what it does not know
    Statement.copy_from_pb(message).validate()
    subjects = {s.name: s.digest["sha256"] for s in message.subject}
    own = (STATEMENT, BILL)
    assert subjects == {
        f"{half}/{path}": digest
        for half in HALVES
        for path, digest in hash_files(halves[half]).items()
        if path not in own
    }
    tree = json.loads(text)
    assert tree["predicateType"] == "https://slsa.dev/provenance/v1"
    made = json_format.ParseDict(tree["predicate"], provenance_pb2.Provenance())
    assert made.run_details.metadata.invocation_id == "run-1"
    materials = list(made.build_definition.resolved_dependencies)
    digests = {m.name: dict(m.digest) for m in materials if m.name}
    assert digests["config"] == {"sha256": hashlib.sha256(CONFIG.encode()).hexdigest()}
    assert digests["panel/2013-02"] == {"sha256": DIGEST}
    [source] = [m for m in materials if m.name == "source/sales.csv"]
    assert source.annotations["fingerprint"] == "rows 12"
    assert f"pkg:pypi/numpy@{metadata.version('numpy')}" in {m.uri for m in materials}


def test_the_list_of_distributions_is_one_of_cyclonedx(halves: dict[str, Path]) -> None:
    text = (halves["model"] / BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    purls = {part["name"]: part["purl"] for part in json.loads(text)["components"]}
    assert purls["numpy"] == f"pkg:pypi/numpy@{metadata.version('numpy')}"
    assert {"python", "framework-core", "framework-mlflow"} <= purls.keys()


def test_the_manifest_covers_both(halves: dict[str, Path], registry: MlflowRegistry) -> None:
    files = json.loads((halves["model"] / MANIFEST).read_text())["files"]["model"]
    pair = registry.resolve("fake", "latest")
    for name in (STATEMENT, BILL):
        assert files[name] == hashlib.sha256((halves["model"] / name).read_bytes()).hexdigest()
        original = (halves["model"] / name).read_text()
        (halves["model"] / name).write_text(original.replace("numpy", "numqy"))
        with pytest.raises(RefusedError, match=rf"file {name} was changed"):
            registry.fetch(pair)
        (halves["model"] / name).write_text(original)
    registry.fetch(pair)
    assert not (halves["model"] / SIGNATURE).exists()


def test_writing_both_takes_less_than_a_tenth_of_a_second(
    halves: dict[str, Path], tmp_path: Path
) -> None:
    known = versions()
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        write_attestations(
            halves,
            name="fake",
            pair_id=32 * "0",
            run_id="r",
            config=CONFIG,
            data={"panel": {str(number): DIGEST for number in range(1000)}},
            versions=versions(),
        )
        seconds.append(time.perf_counter() - begun)
    assert len(known) > 10
    assert min(seconds) < 0.1
