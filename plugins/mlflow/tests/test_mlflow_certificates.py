"""Pairs and moves of a signer whom an authority has certified: refused when the certificate is of
another authority, not for signing, not valid today, or of somebody else.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
import venv
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from framework_mlflow.certificates import Authorities, OutdatedError, UntrustedError
from framework_mlflow.key_files import read_keyring, read_signing_key
from framework_mlflow.keys import SigningKey
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.signature import prove_signature
from mlflow_cases import options_in
from mlflow_keys import Certified, Keys
from pydantic import ValidationError

from framework.errors import ConfigError, RefusedError
from framework.pairs.manifest import HALVES, SIGNATURE
from framework.testing.contracts.drafts import make_draft

SERVER = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
CODE = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING])
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
END = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def root() -> Certified:
    return Certified("root", ca=True)


@pytest.fixture(scope="module")
def job(root: Certified) -> Certified:
    """A CI job's, of an authority below ``root``."""
    return Certified("job 7", Certified("ci", root, ca=True))


@pytest.fixture
def state(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


def signing(state: Path, signer: Certified) -> MlflowRegistry:
    return MlflowRegistry(
        options_in(state, sign={"key": signer.private, "certificate": signer.pem})
    )


def trusting(state: Path, *authorities: Certified, retired: tuple[str, ...] = ()) -> MlflowRegistry:
    return MlflowRegistry(
        options_in(state, trust=[each.pem for each in authorities], retired=retired)
    )


def signed(registry: MlflowRegistry, state: Path) -> dict[str, Path]:
    """A pair, and the move of ``production`` to it; the directory of each half."""
    pair = registry.register(make_draft(state / "draft"), "r")
    registry.move("fake", "production", pair.version, expected=None)
    known = registry.ledger.registered("fake", pair.version)
    assert known is not None
    return {half: Path(known.sources[half]) for half in HALVES}


def load(registry: MlflowRegistry) -> str | None:
    return registry.fetch(registry.resolve("fake", "production")).retired_key


def test_what_a_certified_key_signed_loads_where_its_authority_is_trusted(
    root: Certified, job: Certified, state: Path
) -> None:
    signed(signing(state, job), state)
    assert load(trusting(state, root)) is None
    stranger = trusting(state, Certified("root", ca=True))
    with pytest.raises(RefusedError, match="'CN=job 7' was issued by no authority") as raised:
        stranger.resolve("fake", "production")
    assert "\n" not in str(raised.value)
    with pytest.raises(RefusedError, match="'CN=job 7' was issued by no authority"):
        stranger.fetch(stranger.resolve("fake", "1"))
    for registry, status in ((trusting(state, root), "trusted"), (stranger, "unknown")):
        entries = [entry.signature or {} for entry in registry.history("fake")]
        assert {entry["status"] for entry in entries} == {status}
        assert {entry["certificate"] for entry in entries} == {"CN=job 7"}


def test_an_expired_certificate_is_refused_until_its_key_is_retired_by_name(
    root: Certified, state: Path
) -> None:
    old = Certified("job 1", root, days=3)
    with pytest.raises(ConfigError, match=r"^registry\.sign\.certificate: .*'CN=job 1' expired on"):
        signing(state, old).check_options()
    registry = MlflowRegistry(options_in(state))
    chain = tuple(each.public_bytes(Encoding.DER) for each in old.chain)
    registry.__dict__["_signing_key"] = SigningKey(old.key, chain)  # by other means than ours
    signed(registry, state)
    trusted = trusting(state, root)
    for reference in ("production", "1"):
        with pytest.raises(RefusedError, match="'CN=job 1' expired on"):
            trusted.fetch(trusted.resolve("fake", reference))
    assert load(trusting(state, root, retired=(old.pem,))) is not None


def test_another_ones_certificate_proves_nothing(
    root: Certified, job: Certified, state: Path
) -> None:
    """Both are certified by the same authority."""
    folders, other = signed(signing(state, job), state), Certified("job 8", root)
    trusted = trusting(state, root)
    file = folders["model"] / SIGNATURE
    bundle, own = json.loads(file.read_text()), file.read_text()
    theirs = read_signing_key(other.private, other.pem, "registry.sign")
    certificates = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    certificates[0]["rawBytes"] = base64.b64encode(theirs.chain[0]).decode()
    file.write_text(json.dumps(bundle))
    with pytest.raises(RefusedError, match="somebody changed it"):
        load(trusted)
    file.write_text(own)
    assert load(trusted) is None
    with closing(sqlite3.connect(state / "ledger.db")) as database, database:
        database.execute("UPDATE framework_signatures SET key = ?", (theirs.signer.key,))
    with pytest.raises(RefusedError, match="and the certificate of another"):
        trusted.resolve("fake", "production")


def test_only_a_valid_certificate_for_signing_is_believed(root: Certified) -> None:
    short = Certified("short", root, ca=True, depth=0)
    refused = {
        "of a web server": Certified("x", root, extension=SERVER),
        "with what nobody knows": Certified("x", root, extension=STRANGE),
        "of a signer": Certified("x", Certified("signer", root)),
        "of an authority too deep": Certified("x", Certified("deep", short, ca=True)),
        "of another of that name": Certified("x", Certified("root", ca=True)),
        "of an authority": Certified("x", root, ca=True),
        "of itself": Certified("root"),
        "of many lines": Certified("x\nroot", Certified("root", ca=True)),
    }
    outdated = {
        "expired": Certified("x", root, days=3),
        "of tomorrow": Certified("x", root, days=-1),
        "of an expired authority": Certified("x", Certified("ci", root, ca=True, days=3)),
    }
    authorities = Authorities([root.certificate])

    def prove(signer: Certified, judges: Authorities = authorities) -> None:
        judges.prove(tuple(each.public_bytes(Encoding.DER) for each in signer.chain))

    for kinds, error in ((refused, UntrustedError), (outdated, OutdatedError)):
        for kind, signer in kinds.items():
            with pytest.raises(error) as raised:
                prove(signer)
            assert "\n" not in str(raised.value), kind
    prove(Certified("x", root, extension=CODE))
    expired = Certified("root", ca=True, days=3)
    with pytest.raises(OutdatedError, match="'CN=root' expired on"):
        prove(Certified("x", expired), Authorities([expired.certificate]))


def test_a_certificate_that_cannot_be_used_is_told_before_anything_is_done(
    root: Certified, job: Certified, tmp_path: Path
) -> None:
    other, web = Certified("other", root), Certified("web", root, extension=SERVER)
    loose = other.pem + job.pem.partition(END)[2]
    for signer, pem, said in (
        (job, other.pem, "is not that of registry.sign.key"),
        (job, job.private.replace("PRIVATE KEY", "CERTIFICATE"), "is no certificate in PEM"),
        (other, loose, "was not issued by the one after it"),
        (web, web.pem, "is not for signing"),
    ):
        with pytest.raises(ConfigError, match=rf"^registry\.sign\.certificate: .*{said}"):
            read_signing_key(signer.private, pem, "registry.sign")
    with pytest.raises(ConfigError, match=r"^registry\.trust\[0\]: .* is that of a signer"):
        read_keyring([other.pem], [], "registry")
    with pytest.raises(ConfigError, match=r"^registry\.retired\[0\]: .* is not that of a signer"):
        read_keyring([root.pem], [root.pem], "registry")
    with pytest.raises(ValidationError, match="does nothing without key"):
        options_in(tmp_path, sign={"certificate": job.pem})


@pytest.mark.stress
def test_model_signing_verifies_by_key_and_by_certificate(
    root: Certified, job: Certified, state: Path, tmp_path: Path
) -> None:
    """OpenSSF's own tool, in an environment of its own; and what it signs is believed here."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    tool = str(environment / "bin" / "model_signing")
    packages = ("model-signing==1.1.1", "pyOpenSSL")
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages)
    subprocess.run(pip, check=True)
    own, _, between = job.pem.partition(END)
    files = {name: tmp_path / name for name in ("root.pem", "job.pem", "job.crt", "between.crt")}
    for file, text in zip(files.values(), (root.pem, job.private, own + END, between), strict=True):
        file.write_text(text)

    def ask(*arguments: object) -> int:
        return subprocess.run((tool, *map(str, arguments)), check=False).returncode

    keys, other = Keys(tmp_path), tmp_path / "other"
    other.mkdir()
    shutil.copy(state / "mlflow.db", other)
    by_certificate = signed(signing(state, job), state)
    by_key = signed(MlflowRegistry(options_in(other, sign={"key": keys.ours})), other)
    for half in HALVES:
        for folder, way, options in (
            (by_certificate[half], "certificate", ("--certificate_chain", files["root.pem"])),
            (by_key[half], "key", ("--public_key", keys.trusted)),
        ):
            check = ("verify", way, folder, "--signature", folder / SIGNATURE, *options)
            assert ask(*check) == 0
            (folder / "more").touch()
            assert ask(*check) != 0
            (folder / "more").unlink()
    folder = by_certificate["model"]
    (folder / SIGNATURE).unlink()
    material = ("--private_key", files["job.pem"], "--signing_certificate", files["job.crt"])
    chain = ("--certificate_chain", files["between.crt"])
    assert (
        ask("sign", "certificate", folder, "--signature", folder / SIGNATURE, *material, *chain)
        == 0
    )
    keyring = read_keyring([root.pem], [], "registry")
    prove_signature("model", folder, keyring)
