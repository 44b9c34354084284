"""Certificates of signers: X.509, issued by an authority that is believed, valid today.

A certificate is judged by the clock of who loads. The time that a signer writes proves nothing:
whoever has an old key can write any time, and no third party attests it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from framework.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: How a certificate begins in PEM.
BEGIN = b"-----BEGIN CERTIFICATE-----"
#: The longest chain, without the signer's certificate.
_DEPTH = 5


class UntrustedError(Exception):
    """Nobody who is believed has issued a certificate for signing."""


class OutdatedError(Exception):
    """A certificate is not valid today."""


class Authorities:
    """The certificates of the authorities that are believed."""

    def __init__(self, certificates: Iterable[Certificate] = ()) -> None:
        self._certificates = tuple(certificates)
        #: When the chains that were proven are valid: proving one takes a millisecond.
        self._proven: dict[tuple[bytes, ...], tuple[datetime, datetime]] = {}

    def __bool__(self) -> bool:
        return bool(self._certificates)

    def prove(self, chain: tuple[bytes, ...]) -> None:
        """Prove that an authority has issued a certificate for signing, and that it is valid today.

        Args:
            chain: Certificates in DER: the signer's, then those between it and the authority.

        Raises:
            OutdatedError: One of them, or the authority's, is not valid today.
            UntrustedError: No authority here has issued it, or not for signing.
            ValueError: It is no certificate.
        """
        moment = now()
        since, until = self._proven.get(chain, (moment, datetime.min.replace(tzinfo=UTC)))
        if since <= moment <= until:
            return
        certificates = read_chain(chain)
        if not may_sign(certificates[0]):
            raise UntrustedError(f"{subject(certificates[0])} is not for signing")
        path = self._path(certificates, moment)
        since = max(certificate.not_valid_before_utc for certificate in path)
        until = min(certificate.not_valid_after_utc for certificate in path)
        self._proven[chain] = since, until

    def _path(self, certificates: list[Certificate], moment: datetime) -> list[Certificate]:
        from cryptography.x509 import BasicConstraints, KeyUsage
        from cryptography.x509.verification import (
            Criticality,
            ExtensionPolicy,
            PolicyBuilder,
            Store,
            VerificationError,
        )

        def may_issue(_policy: object, _certificate: object, usage: KeyUsage | None) -> None:
            if usage is not None and not usage.key_cert_sign:
                raise ValueError("its key may not issue certificates")

        def is_authority(_policy: object, _certificate: object, basic: BasicConstraints) -> None:
            if not basic.ca:
                raise ValueError("it is not an authority's")

        of_authorities = (
            ExtensionPolicy.permit_all()
            .require_present(BasicConstraints, Criticality.AGNOSTIC, is_authority)
            .may_be_present(KeyUsage, Criticality.AGNOSTIC, may_issue)
        )
        builder = PolicyBuilder().store(Store(self._certificates)).max_chain_depth(_DEPTH)
        builder = builder.extension_policies(
            ca_policy=of_authorities, ee_policy=ExtensionPolicy.permit_all()
        )
        try:
            verifier = builder.time(moment).build_client_verifier()
            return verifier.verify(certificates[0], certificates[1:]).chain
        except VerificationError as error:
            issuers = {certificate.issuer for certificate in certificates}
            own = [a for a in self._certificates if a.subject in issuers]
            for certificate in (*certificates, *own):
                problem = why_outdated(certificate, moment)
                if problem is not None:
                    raise OutdatedError(problem) from error
            name = subject(certificates[0])
            raise UntrustedError(f"{name} was issued by no authority there") from error


def now() -> datetime:
    """Return the time by which certificates are judged."""
    return datetime.now(UTC)


def read_chain(chain: Iterable[bytes]) -> list[Certificate]:
    """Read certificates in DER. Raises ValueError."""
    from cryptography.x509 import load_der_x509_certificate

    certificates = [load_der_x509_certificate(der) for der in chain]
    if not certificates:
        raise ValueError("there is no certificate")
    return certificates


def read_certificates(pem: bytes, option: str) -> list[Certificate]:
    """Read the certificates of a PEM file.

    Args:
        pem: Its content.
        option: The key of the configuration, for the error.

    Returns:
        The certificates, at least one.

    Raises:
        ConfigError: It holds none, or one that cannot be read.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{option}: is no certificate in PEM ({error}).") from error


def is_authority(certificate: Certificate) -> bool:
    """Say whether a certificate is that of an authority."""
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        return False


def may_sign(certificate: Certificate) -> bool:
    """Say whether a certificate is for signing.

    It names the usage ``digitalSignature``, or the purpose ``codeSigning``, and nothing that it
    names leaves signing out: the certificate of a web server is none.
    """
    from cryptography.x509 import ExtendedKeyUsage, Extensions, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    try:
        extensions: Extensions = certificate.extensions
    except ValueError:
        return False
    values = [extension.value for extension in extensions]
    usages = [v.digital_signature for v in values if isinstance(v, KeyUsage)]
    purposes = [Purpose.CODE_SIGNING in v for v in values if isinstance(v, ExtendedKeyUsage)]
    return bool(usages or purposes) and all((*usages, *purposes))


def why_outdated(certificate: Certificate, moment: datetime) -> str | None:
    """Say when a certificate is valid, None when that is now."""
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if since <= moment <= until:
        return None
    word = "expired on" if moment > until else "is not valid before"
    return f"{subject(certificate)} {word} {until if moment > until else since:%Y-%m-%d %H:%M} UTC"


def check_signer(certificates: Sequence[Certificate], option: str) -> None:
    """Check that certificates can be signed with.

    Args:
        certificates: The signer's, then each that issued the one before it.
        option: The key of the configuration, for the error.

    Raises:
        ConfigError: One is not valid today or did not issue the one before it, or the first is not
            for signing.
    """
    for certificate in certificates:
        problem = why_outdated(certificate, now())
        if problem is not None:
            raise ConfigError(f"{option}: {problem}; name one that is valid.")
    if not may_sign(certificates[0]):
        raise ConfigError(
            f"{option}: {subject(certificates[0])} is not for signing; it needs the usage "
            "digitalSignature, and the purpose codeSigning where it names purposes."
        )
    for issued, issuer in pairwise(certificates):
        try:
            issued.verify_directly_issued_by(issuer)
        except Exception as error:  # of the library, by what differs
            raise ConfigError(
                f"{option}: {subject(issued)} was not issued by the one after it, "
                f"{subject(issuer)}; put the signer's first, then each that issued the one before."
            ) from error


def subject(certificate: Certificate) -> str:
    """Name a certificate for people, in one line."""
    return f"the certificate of '{holder(certificate)}'"


def holder(certificate: Certificate) -> str:
    """Name the holder of a certificate, as it says: at most 200 characters that can be printed."""
    text = certificate.subject.rfc4514_string()[:200]
    return "".join(character if character.isprintable() else "?" for character in text)
