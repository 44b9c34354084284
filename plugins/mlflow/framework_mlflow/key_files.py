"""The files of keys and certificates that the configuration names, in PEM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError
from framework_mlflow import certificates
from framework_mlflow.certificates import Authorities
from framework_mlflow.keys import Keyring, SigningKey, is_known_kind, key_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )


def read_signing_key(key: str, certificate: str | None, option: str) -> SigningKey:
    """Read what pairs are signed with.

    Args:
        key: The private key, as of :func:`read_private_key`.
        certificate: The path of a PEM file with the certificates, or its text; None without.
        option: The section of the configuration, for the error.

    Returns:
        The key with its certificates.

    Raises:
        ConfigError: The key or a certificate cannot be used, or they do not belong together.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    private = read_private_key(key, f"{option}.key")
    if certificate is None:
        return SigningKey(private)
    place = f"{option}.certificate"
    chain = certificates.read_certificates(_pem(certificate, place), place)
    if chain[0].public_key() != private.public_key():
        raise ConfigError(
            f"{place}: its first certificate is not that of {option}.key; put the signer's first."
        )
    certificates.check_signer(chain, place)
    return SigningKey(private, tuple(each.public_bytes(Encoding.DER) for each in chain))


def read_keyring(trust: Iterable[str], retired: Iterable[str], option: str) -> Keyring:
    """Read whose signatures are believed.

    Args:
        trust: Paths of PEM files, or their texts: public keys, and certificates of authorities.
        retired: The same of signers that sign no more: public keys, or their own certificates.
        option: The section of the configuration, for the error; ``.trust`` and ``.retired`` are
            put behind it.

    Returns:
        The keys and the authorities.

    Raises:
        ConfigError: One is none.
    """
    keys, authorities = read_trust(trust, f"{option}.trust")
    return Keyring(keys, read_retired(retired, f"{option}.retired"), authorities)


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
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(_pem(text, option), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None  # what the library says may hold a part of the key
    if key is None or not is_known_kind(key.public_key()):
        raise ConfigError(
            f"{option}: is no private key in PEM on P-256, P-384 or P-521 without a passphrase; "
            "`openssl ecparam -name prime256v1 -genkey -noout -out sign.pem` makes one."
        )
    return key


def read_trust(
    texts: Iterable[str], option: str
) -> tuple[dict[str, EllipticCurvePublicKey], Authorities]:
    """Read the keys and the authorities that are believed.

    Args:
        texts: Paths of PEM files, or their texts.
        option: The key of the configuration, for the error.

    Returns:
        The keys by the name that signatures know them by, and the authorities.

    Raises:
        ConfigError: One is neither a public key on P-256, P-384 or P-521 nor the certificate of an
            authority.
    """
    keys: dict[str, EllipticCurvePublicKey] = {}
    authorities = []
    for number, text in enumerate(texts):
        path = f"{option}[{number}]"
        pem = _pem(text, path)
        if certificates.BEGIN not in pem:
            key = _public_key(pem, path)
            keys[key_name(key)] = key
            continue
        for certificate in certificates.read_certificates(pem, path):
            if not certificates.is_authority(certificate):
                raise ConfigError(
                    f"{path}: {certificates.subject(certificate)} is that of a signer; name the "
                    "certificate of its authority, or the public key (openssl x509 -pubkey)."
                )
            authorities.append(certificate)
    return keys, Authorities(authorities)


def read_retired(texts: Iterable[str], option: str) -> dict[str, EllipticCurvePublicKey]:
    """Read the keys of signers that sign no more: see :func:`read_keyring`."""
    keys: dict[str, EllipticCurvePublicKey] = {}
    for number, text in enumerate(texts):
        path = f"{option}[{number}]"
        pem = _pem(text, path)
        if certificates.BEGIN in pem:
            certificate = certificates.read_certificates(pem, path)[0]
            if certificates.is_authority(certificate) or not is_known_kind(
                certificate.public_key()
            ):
                raise ConfigError(
                    f"{path}: {certificates.subject(certificate)} is not that of a signer."
                )
            key: Any = certificate.public_key()
        else:
            key = _public_key(pem, path)
        keys[key_name(key)] = key
    return keys


def _public_key(pem: bytes, path: str) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key: Any = load_pem_public_key(pem)
    except UnsupportedAlgorithm:
        key = None  # of a curve that the library does not have
    except ValueError as error:
        raise ConfigError(f"{path}: is no public key in PEM ({error}).") from error
    if not is_known_kind(key):
        raise ConfigError(f"{path}: is no public key on P-256, P-384 or P-521.")
    return key  # type: ignore[no-any-return]


def _pem(text: str, option: str) -> bytes:
    if not text.strip():
        raise ConfigError(f"{option}: is empty; name a PEM file, or leave the option out.")
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: the key file cannot be read ({error.strerror}).") from None
