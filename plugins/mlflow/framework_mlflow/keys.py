"""The keys that sign and the keys that are believed: ECDSA over DSSE's envelope. A key is believed
because it is listed, or because an authority that is listed has certified it.

Only ``cryptography`` is needed, and it is imported where a key is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from framework_mlflow import certificates
from framework_mlflow.certificates import Authorities, OutdatedError, UntrustedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

#: Which hash a signature of each curve is over.
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}

#: What is known of a signature: of a trusted key, of a retired one, of a certificate that is not
#: valid today, of a key that nobody listed or certified, or not of these bytes.
Verdict = Literal["trusted", "retired", "expired", "unknown", "wrong"]


@dataclass(frozen=True)
class Signer:
    """One who says that he signed: the name of his key, and his certificates in DER where he has
    any, his own first.
    """

    key: str
    chain: tuple[bytes, ...] = ()

    @classmethod
    def of_chain(cls, chain: tuple[bytes, ...]) -> Signer:
        """Give the signer whose certificates these are. Raises ValueError."""
        key = certificates.read_chain(chain)[0].public_key()
        if not is_known_kind(key):
            raise ValueError("its key is not on P-256, P-384 or P-521")
        return cls(key_name(key), chain)


@dataclass(frozen=True)
class SigningKey:
    """``chain``: the certificates of the key in DER, its own first; none without."""

    private: EllipticCurvePrivateKey
    chain: tuple[bytes, ...] = ()

    @property
    def signer(self) -> Signer:
        """The one who signs with it."""
        return Signer(key_name(self.private.public_key()), self.chain)

    def sign(self, kind: str, payload: bytes) -> bytes:
        """Sign bytes as DSSE 1.0 does.

        Args:
            kind: What is signed, DSSE's type of the payload. A signature of one kind is none of
                another.
            payload: What is signed.

        Returns:
            The signature.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        algorithm = ECDSA(_hash_of(self.private.public_key()))
        return self.private.sign(_envelope(kind, payload), algorithm)


@dataclass(frozen=True)
class Keyring:
    """The public keys whose signatures are believed, by :func:`key_name`, and the authorities whose
    certificates are. What a ``retired`` key signed still loads; nothing new is signed with it.
    """

    trusted: Mapping[str, EllipticCurvePublicKey] = field(default_factory=dict)
    retired: Mapping[str, EllipticCurvePublicKey] = field(default_factory=dict)
    authorities: Authorities = field(default_factory=Authorities)

    def __bool__(self) -> bool:
        return bool(self.trusted or self.authorities)

    def judge(
        self, signer: Signer, kind: str, payload: bytes, signature: bytes
    ) -> tuple[Verdict, str]:
        """Check a signature. A key that is listed needs no certificate.

        Args:
            signer: Who signed, as the signature has it.
            kind: What is signed, DSSE's type of the payload.
            payload: What is signed.
            signature: The signature.

        Returns:
            Whose it is, and in words what is wrong with it; the words are empty where nothing is.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        label = f"the key {signer.key[:12]}"
        key: Any = self.trusted.get(signer.key) or self.retired.get(signer.key)
        if key is None:
            if not (signer.chain and self.authorities):
                return "unknown", f"is signed by {label}, which registry.trust does not list"
            try:
                if Signer.of_chain(signer.chain) != signer:
                    return "wrong", f"names {label}, and the certificate of another"
                self.authorities.prove(signer.chain)
            except OutdatedError as error:
                return "expired", f"is signed by {label}, and {error}"
            except (UntrustedError, ValueError) as error:
                reason = f"{error} (registry.trust)"
                return "unknown", f"is signed by {label}, and {reason}"
            key = certificates.read_chain(signer.chain)[0].public_key()
        try:
            key.verify(signature, _envelope(kind, payload), ECDSA(_hash_of(key)))
        except InvalidSignature:
            return "wrong", f"does not have the signature of {label}: somebody changed it"
        return ("retired" if signer.key in {*self.retired} - {*self.trusted} else "trusted"), ""


def is_known_kind(key: Any) -> bool:
    """Say whether a public key is on one of the curves that signatures are made on."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    return isinstance(key, EllipticCurvePublicKey) and key.curve.name in _HASHES


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
