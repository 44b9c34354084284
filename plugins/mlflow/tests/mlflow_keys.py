"""Files of keys that sign and keys that are trusted, and of certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


class Keys:
    """Two signers' key files: ``ours`` is trusted, ``theirs`` is not."""

    def __init__(self, folder: Path) -> None:
        for name, curve in (("ours", SECP256R1()), ("theirs", SECP521R1())):
            key = generate_private_key(curve)
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (folder / f"{name}.pem").write_bytes(private)
            (folder / f"{name}.pub").write_bytes(public)
        self.ours, self.theirs = str(folder / "ours.pem"), str(folder / "theirs.pem")
        self.trusted, self.untrusted = str(folder / "ours.pub"), str(folder / "theirs.pub")


class Certified:
    """A key and its certificate, issued by ``issuer`` or by itself. It is valid for two days from
    ``days`` days ago.
    """

    def __init__(
        self,
        name: str,
        issuer: Certified | None = None,
        *,
        ca: bool = False,
        days: int = 1,
        depth: int | None = None,
        extension: x509.ExtensionType | None = None,
    ) -> None:
        self.key, self.issuer = generate_private_key(SECP256R1()), issuer
        own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        since = datetime.now(UTC) - timedelta(days=days)
        public = self.key.public_key()
        builder = (
            x509.CertificateBuilder(own if issuer is None else issuer.certificate.subject, own)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(since + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca, depth), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.KeyUsage(not ca, *(False,) * 4, ca, ca, False, False), critical=True
            )
        )
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        signer: EllipticCurvePrivateKey = self.key if issuer is None else issuer.key
        self.certificate = builder.sign(signer, SHA256())

    @property
    def chain(self) -> list[x509.Certificate]:
        """Its certificate and those between it and the authority."""
        if self.issuer is None:
            return [self.certificate]
        between = self.issuer.chain if self.issuer.issuer is not None else []
        return [self.certificate, *between]

    @property
    def pem(self) -> str:
        """The chain."""
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in self.chain)

    @property
    def private(self) -> str:
        """The private key."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode()
