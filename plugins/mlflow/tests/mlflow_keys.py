"""Files of keys that sign and keys that are trusted."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP521R1, generate_private_key
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
