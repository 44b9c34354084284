"""The maker of a half: a signature over its files, as OpenSSF Model Signing writes it.

Each half has ``pair.sig``: a sigstore bundle with a DSSE envelope around an in-toto statement that
lists the digest of every file, ``pair.json`` among them. ``model_signing verify`` accepts it, by
key or by certificate.
``pair.json`` names every file of both halves, so that one signature stands for the whole pair.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from framework.errors import RefusedError
from framework.pairs.manifest import MANIFEST, SIGNATURE, hash_files
from framework_mlflow.keys import Keyring, Signer, SigningKey

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
#: What to do about a signature, by what is known of it.
_NEXT_STEPS = {
    "unknown": "name that key or its authority there, or train again with a trusted one",
    "expired": "train again with a certificate that is valid, or name its key in registry.retired",
    "wrong": "bring the registered files back, or train again",
}


def sign(artifact: Path, name: str, key: SigningKey) -> None:
    """Write ``pair.sig`` into a half that has its manifest.

    Args:
        artifact: The directory of the half.
        name: What the half is called, for a reader of the signature.
        key: What signs it.
    """
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
    signature = key.sign(_PAYLOAD, payload)
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {**_material(key.signer), "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    (artifact / SIGNATURE).write_text(json.dumps(bundle))


def prove_signature(half: str, artifact: Path, keys: Keyring) -> str:
    """Check that a believed key has signed the manifest of a half; nothing else is read.

    Args:
        half: ``preprocessor`` or ``model``.
        artifact: The directory of the half.
        keys: The keys.

    Returns:
        The name of the key that signed it.

    Raises:
        RefusedError: There is no signature, it is of another key or of other bytes.
    """
    file = artifact / SIGNATURE
    if not file.is_file():
        raise RefusedError(
            f"{half} half: it is not signed and registry.trust asks for a signature; train again "
            "with registry.sign.key."
        )
    try:
        bundle = json.loads(file.read_text())
        envelope = bundle["dsseEnvelope"]
        signer = _signer(bundle["verificationMaterial"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    except (LookupError, TypeError, ValueError) as error:
        raise RefusedError(f"{half} half: {file} is no signature ({error}).") from error
    verdict, problem = keys.judge(signer, _PAYLOAD, payload, signature)
    if problem:
        raise RefusedError(f"{half} half: it {problem}; {_NEXT_STEPS[verdict]}.")
    digest = _signed_digest(payload, half)
    manifest = artifact / MANIFEST
    if not manifest.is_file() or hashlib.sha256(manifest.read_bytes()).hexdigest() != digest:
        raise RefusedError(
            f"{half} half: the signature is of another {MANIFEST} than the one beside it."
        )
    return signer.key


def _material(signer: Signer) -> dict[str, Any]:
    """By what a bundle says who signed."""
    if not signer.chain:
        return {"publicKey": {"hint": signer.key}}
    chain = [{"rawBytes": base64.b64encode(der).decode()} for der in signer.chain]
    return {"x509CertificateChain": {"certificates": chain}}


def _signer(material: dict[str, Any]) -> Signer:
    """Read what :func:`_material` wrote. Raises LookupError, TypeError, ValueError."""
    if "x509CertificateChain" not in material:
        return Signer(str(material["publicKey"]["hint"]))
    chain = material["x509CertificateChain"]["certificates"]
    return Signer.of_chain(tuple(base64.b64decode(c["rawBytes"], validate=True) for c in chain))


def _signed_digest(payload: bytes, half: str) -> str:
    """The digest of the manifest in what was signed. A key may have signed other things too."""
    statement: dict[str, Any] = json.loads(payload)
    if statement.get("predicateType") != _PREDICATE:
        raise RefusedError(f"{half} half: what was signed is no list of files.")
    resources = statement["predicate"]["resources"]
    return next((str(r["digest"]) for r in resources if r["name"] == MANIFEST), "")
