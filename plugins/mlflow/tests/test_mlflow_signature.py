"""A signed pair says who made it: unsigned, wrongly signed and swapped pairs are refused before
anything of them is opened.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import mlflow.pyfunc
import pytest
from framework_mlflow.key_files import read_keyring, read_trust
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.signature import prove_signature
from mlflow_cases import options_in
from mlflow_keys import Keys

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import PairVersion
from framework.pairs.manifest import HALVES, MANIFEST, SIGNATURE, canonical, digest_of, hash_files
from framework.testing.contracts.drafts import make_draft
from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[3] / "examples" / "project"
#: A key of 112 bits, which no release of ``cryptography`` reads.
SECP112R1 = (
    "MD4CAQEEDlSI8wQqVD6sjRvfnUKZoAcGBSuBBAAGoSADHgAETDq6/EdaXjGIBGWpzNHX5uKsnIDCxCUJ+l5yCA=="
)
SECP112R1_PUBLIC = "MDIwEAYHKoZIzj0CAQYFK4EEAAYDHgAETDq6/EdaXjGIBGWpzNHX5uKsnIDCxCUJ+l5yCA=="


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def state(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


def signed(state: Path, key: str | None, number: int = 0) -> PairVersion:
    registry = MlflowRegistry(options_in(state, sign={"key": key}))
    return registry.register(make_draft(state / f"draft-{number}"), "r")


def trusting(state: Path, *keys: str) -> MlflowRegistry:
    return MlflowRegistry(options_in(state, trust=keys))


def artifact(registry: MlflowRegistry, pair: PairVersion, half: str) -> Path:
    known = registry.ledger.registered(pair.name, pair.version)
    assert known is not None
    return Path(known.sources[half])


def test_a_pair_of_a_trusted_key_loads_and_others_are_refused(keys: Keys, state: Path) -> None:
    ours, theirs, unsigned = (
        signed(state, key, n) for n, key in enumerate((keys.ours, keys.theirs, None))
    )
    registry = trusting(state, keys.trusted)
    registry.fetch(ours)
    for pair, said in ((theirs, "which registry.trust does not list"), (unsigned, "is not signed")):
        with pytest.raises(RefusedError, match=said) as raised:
            registry.fetch(pair)
        assert "\n" not in str(raised.value)
    trusting(state, keys.trusted, keys.untrusted).fetch(theirs)
    for pair in (ours, theirs, unsigned):
        trusting(state).fetch(pair)


def test_a_pair_rewritten_with_all_its_digests_is_refused(keys: Keys, state: Path) -> None:
    pair = signed(state, keys.ours)
    registry = trusting(state, keys.trusted)
    halves = {half: artifact(registry, pair, half) for half in HALVES}
    for half in HALVES:
        (halves[half] / "data" / half / "extra.py").write_text("print('never')")
    manifest = json.loads((halves["model"] / MANIFEST).read_text())
    manifest["files"] = {half: hash_files(halves[half]) for half in HALVES}
    manifest["digest"] = digest_of(manifest)
    for place in halves.values():
        (place / MANIFEST).write_text(canonical(manifest))
    with pytest.raises(RefusedError, match=r"signature is of another pair\.json"):
        registry.fetch(pair)


def test_another_pairs_signature_and_a_changed_one_are_refused(keys: Keys, state: Path) -> None:
    one, two = (signed(state, keys.ours, n) for n in range(2))
    registry = trusting(state, keys.trusted)
    file = artifact(registry, one, "model") / SIGNATURE
    own = file.read_text()
    shutil.copy(artifact(registry, two, "model") / SIGNATURE, file)
    with pytest.raises(RefusedError, match=r"signature is of another pair\.json"):
        registry.fetch(one)
    bundle = json.loads(own)
    other = json.loads((artifact(registry, two, "model") / SIGNATURE).read_text())
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    file.write_text(json.dumps(bundle))
    with pytest.raises(RefusedError, match="somebody changed it"):
        registry.fetch(one)
    file.write_text("{}")
    with pytest.raises(RefusedError, match="is no signature"):
        registry.fetch(one)
    file.write_text(own)
    registry.fetch(one)


def test_a_key_that_cannot_sign_is_refused_before_anything_is_stored(
    keys: Keys, state: Path
) -> None:
    other_curve = "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----"
    wrong = (
        "",
        keys.trusted,
        str(state / "absent.pem"),
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
        other_curve.format(SECP112R1),
    )
    for number, key in enumerate(wrong):
        with pytest.raises(ConfigError, match=r"^registry\.sign\.key: ") as raised:
            signed(state, key, number)
        assert "c2VjcmV0" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"^registry\.trust\[0\]: "):
        read_trust([keys.ours], "registry.trust")
    assert not (state / "artifacts").exists()


def test_a_trusted_key_on_a_curve_that_the_library_lacks_is_refused() -> None:
    text = f"-----BEGIN PUBLIC KEY-----\n{SECP112R1_PUBLIC}\n-----END PUBLIC KEY-----"
    with pytest.raises(ConfigError, match=r"^registry\.trust\[0\]: is no public key on P-256"):
        read_trust([text], "registry.trust")


def test_a_key_that_cannot_sign_is_refused_before_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("state"))
    done = command.run("+experiment=shops", "registry.sign.key=absent.pem", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert "registry.sign.key: the key file cannot be read" in done.stderr
    assert not [*folder.rglob("backtest.parquet")]


def test_a_trusted_key_that_cannot_be_read_is_no_fault_of_a_pair(state: Path) -> None:
    signed(state, None)
    with pytest.raises(ConfigError, match=r"^registry\.trust\[0\]: the key file cannot be read"):
        trusting(state, str(state / "absent.pub")).verify("fake")


@pytest.mark.usefixtures("site")
def test_a_half_that_mlflow_loads_proves_its_signature(
    keys: Keys, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = signed(state, keys.ours)
    places = [str(artifact(trusting(state), pair, half)) for half in HALVES]
    monkeypatch.setenv("FRAMEWORK_TRUST", os.pathsep.join([keys.untrusted, keys.trusted]))
    for place in places:
        mlflow.pyfunc.load_model(place)
    monkeypatch.setenv("FRAMEWORK_TRUST", "")
    with pytest.raises(ConfigError, match=r"^FRAMEWORK_TRUST\[0\]: is empty"):
        mlflow.pyfunc.load_model(places[0])
    monkeypatch.setenv("FRAMEWORK_TRUST", keys.untrusted)
    for place in places:
        with pytest.raises(RefusedError, match="does not list"):
            mlflow.pyfunc.load_model(place)


def test_the_signature_is_one_of_model_signing(keys: Keys, state: Path) -> None:
    """What its command line reads; that accepts such a half (docs/how-to/sign-pairs.md)."""
    pair = signed(state, keys.ours)
    place = artifact(trusting(state), pair, "model")
    keyring = read_keyring([keys.trusted], [], "registry")
    assert prove_signature("model", place, keyring) in keyring.trusted
    bundle = json.loads((place / SIGNATURE).read_text())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
