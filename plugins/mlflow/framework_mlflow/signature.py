"""The maker of a half: a signature over its files, as OpenSSF Model Signing writes it.

Each half has ``pair.sig``: a sigstore bundle with a DSSE envelope around an in-toto statement that
lists the digest of every file, ``pair.json`` among them. ``model_signing verify key`` accepts it.
``pair.json`` names every file of both halves, so that one signature stands for the whole pair.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, RefusedError
from framework.pairs.manifest import MANIFEST, SIGNATURE, hash_files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
#: Which hash a signature of each curve is over.
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


def read_private_key(text: str, option: str) -> EllipticCurvePrivateKey:
    """Read the key that pairs are signed with.

    Args:
        text: The path of a PEM file, or its text.
        option: The key of the configuration, for the error.

    Returns:
        The key.

    Raises:
        ConfigError: It is no private key on P-256, P-384 or P-521 without a passphrase. The
            message never holds the key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_pem(text, option), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None  # what the library says may hold a part of the key
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise ConfigError(
            f"{option}: is no private key in PEM on P-256, P-384 or P-521 without a passphrase; "
            "`openssl ecparam -name prime256v1 -genkey -noout -out sign.pem` makes one."
        )
    return key


def read_trusted_keys(texts: Iterable[str], option: str) -> dict[str, EllipticCurvePublicKey]:
    """Read the keys whose signatures are believed.

    Args:
        texts: Paths of PEM files, or their texts.
        option: The key of the configuration, for the error.

    Returns:
        The keys by the name that signatures know them by.

    Raises:
        ConfigError: One is no public key on P-256, P-384 or P-521.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys: dict[str, EllipticCurvePublicKey] = {}
    for number, text in enumerate(texts):
        path = f"{option}[{number}]"
        try:
            key = load_pem_public_key(_pem(text, path))
        except UnsupportedAlgorithm:
            key = None  # of a curve that the library does not have
        except ValueError as error:
            raise ConfigError(f"{path}: is no public key in PEM ({error}).") from error
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise ConfigError(f"{path}: is no public key on P-256, P-384 or P-521.")
        keys[_hint(key)] = key
    return keys


def _pem(text: str, option: str) -> bytes:
    if not text.strip():
        raise ConfigError(f"{option}: is empty; name a PEM file, or leave the option out.")
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: the key file cannot be read ({error.strerror}).") from None


def _hint(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def sign(artifact: Path, name: str, key: EllipticCurvePrivateKey) -> None:
    """Write ``pair.sig`` into a half that has its manifest.

    Args:
        artifact: The directory of the half.
        name: What the half is called, for a reader of the signature.
        key: The private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    manifest = hashlib.sha256((artifact / MANIFEST).read_bytes()).hexdigest()
    files = {**hash_files(artifact), MANIFEST: manifest}
    names = sorted(files, key=lambda path: path.split("/"))
    resources = [{"name": n, "algorithm": "sha256", "digest": files[n]} for n in names]
    root = hashlib.sha256(b"".join(bytes.fromhex(files[n]) for n in names)).hexdigest()
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": resources,
        },
    }
    payload = json.dumps(statement, sort_keys=True).encode()
    public = key.public_key()
    signature = key.sign(_signed_bytes(payload), ECDSA(_hash_of(public)))
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": _hint(public)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    (artifact / SIGNATURE).write_text(json.dumps(bundle))


def prove_signature(half: str, artifact: Path, trusted: dict[str, EllipticCurvePublicKey]) -> None:
    """Check that a trusted key has signed the manifest of a half; nothing else is read.

    Args:
        half: ``preprocessor`` or ``model``.
        artifact: The directory of the half.
        trusted: What :func:`read_trusted_keys` gave.

    Raises:
        RefusedError: There is no signature, it is of another key or of other bytes.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    file = artifact / SIGNATURE
    if not file.is_file():
        raise RefusedError(
            f"{half} half: it is not signed and registry.trust asks for a signature; train again "
            "with registry.sign.key."
        )
    try:
        bundle = json.loads(file.read_text())
        envelope = bundle["dsseEnvelope"]
        hint = str(bundle["verificationMaterial"]["publicKey"]["hint"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    except (LookupError, TypeError, ValueError) as error:
        raise RefusedError(f"{half} half: {file} is no signature ({error}).") from error
    key = trusted.get(hint)
    if key is None:
        raise RefusedError(
            f"{half} half: it is signed by the key {hint[:12]}, which registry.trust does not "
            "list; name that key there, or train again with a trusted one."
        )
    try:
        key.verify(signature, _signed_bytes(payload), ECDSA(_hash_of(key)))
    except InvalidSignature:
        raise RefusedError(
            f"{half} half: the signature is not that of the key {hint[:12]}: somebody changed it."
        ) from None
    digest = _signed_digest(payload, half)
    manifest = artifact / MANIFEST
    if not manifest.is_file() or hashlib.sha256(manifest.read_bytes()).hexdigest() != digest:
        raise RefusedError(
            f"{half} half: the signature is of another {MANIFEST} than the one beside it."
        )


def _signed_digest(payload: bytes, half: str) -> str:
    """The digest of the manifest in what was signed. A key may have signed other things too."""
    statement: dict[str, Any] = json.loads(payload)
    if statement.get("predicateType") != _PREDICATE:
        raise RefusedError(f"{half} half: what was signed is no list of files.")
    resources = statement["predicate"]["resources"]
    return next((str(r["digest"]) for r in resources if r["name"] == MANIFEST), "")


def _signed_bytes(payload: bytes) -> bytes:
    """The envelope's pre-authentication encoding, of DSSE 1.0."""
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload


def _hash_of(key: EllipticCurvePublicKey) -> Any:
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, _HASHES[key.curve.name])()
