"""The keys that sign and the keys that are believed: ECDSA over DSSE's envelope.

Only ``cryptography`` is needed, and it is imported where a key is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from framework.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

#: Which hash a signature of each curve is over.
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}

#: What is known of a signature: of a trusted key, of a retired one, of a key that nobody listed, or
#: not of these bytes.
Verdict = Literal["trusted", "retired", "unknown", "wrong"]


@dataclass(frozen=True)
class Keyring:
    """The public keys whose signatures are believed, by :func:`key_name`. What a ``retired`` key
    signed still loads; nothing new is signed with it.
    """

    trusted: Mapping[str, EllipticCurvePublicKey] = field(default_factory=dict)
    retired: Mapping[str, EllipticCurvePublicKey] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trusted)

    def judge(self, name: str, kind: str, payload: bytes, signature: bytes) -> Verdict:
        """Check a signature.

        Args:
            name: The name of the key, as the signature has it.
            kind: What is signed, DSSE's type of the payload.
            payload: What is signed.
            signature: The signature.

        Returns:
            Whose it is.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        key = self.trusted.get(name) or self.retired.get(name)
        if key is None:
            return "unknown"
        try:
            key.verify(signature, _envelope(kind, payload), ECDSA(_hash_of(key)))
        except InvalidSignature:
            return "wrong"
        return "trusted" if name in self.trusted else "retired"


def sign_bytes(key: EllipticCurvePrivateKey, kind: str, payload: bytes) -> bytes:
    """Sign bytes as DSSE 1.0 does.

    Args:
        key: The private key.
        kind: What is signed, DSSE's type of the payload. A signature of one kind is none of
            another.
        payload: What is signed.

    Returns:
        The signature.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    return key.sign(_envelope(kind, payload), ECDSA(_hash_of(key.public_key())))


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


def read_public_keys(texts: Iterable[str], option: str) -> dict[str, EllipticCurvePublicKey]:
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
        keys[key_name(key)] = key
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


def key_name(key: EllipticCurvePublicKey) -> str:
    """Name a public key as OpenSSF Model Signing does.

    Args:
        key: The key.

    Returns:
        The SHA-256 of its PEM text.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _envelope(kind: str, payload: bytes) -> bytes:
    """The envelope's pre-authentication encoding, of DSSE 1.0."""
    return f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload


def _hash_of(key: EllipticCurvePublicKey) -> Any:
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, _HASHES[key.curve.name])()
