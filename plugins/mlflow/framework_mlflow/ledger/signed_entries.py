"""Signed entries of the history: who moved an alias where is proven by a key.

The signature is over the entry's text as it is hashed: its number, the hash of the entry before,
who, when, what, which alias, from where to where, the digest of the pair, the reason and the
verdict. It stands in the ledger with the signer's certificates behind it, where he has any: each
in base64, with points between.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from framework.errors import ConfigError
from framework.interfaces.registry import HistoryEntry, PairVersion
from framework_mlflow.certificates import holder, read_chain
from framework_mlflow.keys import Keyring, Signer, SigningKey, Verdict
from framework_mlflow.ledger.history import EntrySignature, Link, entry_text

_KIND = "application/vnd.framework.history-entry+json"
_POINT = "."


def sign_entry(link: Link, key: SigningKey) -> EntrySignature:
    """Sign an entry.

    Args:
        link: The entry in its place.
        key: What signs it.

    Returns:
        The signature.
    """
    parts = (key.sign(_KIND, _text(link)), *key.signer.chain)
    return EntrySignature(
        key.signer.key, _POINT.join(base64.b64encode(part).decode() for part in parts)
    )


def check_signer(key: SigningKey | None, keys: Keyring) -> None:
    """Check that a move will be believed where it is made.

    Args:
        key: What will sign it.
        keys: The keys and authorities that are believed; without any, nothing is checked.

    Raises:
        ConfigError: Nothing would load through the alias afterwards.
    """
    if not keys:
        return
    if key is None:
        raise ConfigError(
            "registry.trust asks for moves that are signed, and registry.sign.key is not set: "
            "nothing would load through the alias; set it."
        )
    _, problem = keys.judge(key.signer, _KIND, b"", key.sign(_KIND, b""))
    if problem:
        raise ConfigError(
            f"registry.sign.key: a move that it signs {problem}: nothing would load through the "
            "alias; sign with a key that registry.trust lists, or whose authority it lists."
        )


def judge_entry(link: Link, keys: Keyring) -> tuple[Verdict | None, str]:
    """Check the signature of an entry.

    Args:
        link: The entry in its place.
        keys: The keys and authorities that are believed.

    Returns:
        Whose it is, None where nothing is signed; and in words what is wrong with it.
    """
    if link.signature is None:
        return None, "is not signed and registry.trust asks for a signature"
    signature, *chain = _parts(link.signature)
    return keys.judge(Signer(link.signature.key, tuple(chain)), _KIND, _text(link), signature)


def with_verdict(link: Link, keys: Keyring) -> HistoryEntry:
    """Say of an entry what is known of its signature.

    Args:
        link: The entry in its place.
        keys: The keys and authorities that are believed.

    Returns:
        The entry. Without keys nothing is checked.
    """
    if link.signature is None:
        unsigned = {"key": None, "status": "unsigned"}
        return replace(link.entry, signature=unsigned) if keys else link.entry
    verdict = judge_entry(link, keys)[0] if keys else "unchecked"
    known = {"key": link.signature.key, "status": str(verdict)}
    _, *chain = _parts(link.signature)
    return replace(link.entry, signature={**known, **_certified(chain)})


def _parts(signature: EntrySignature) -> list[bytes]:
    """The signature, and the certificates behind it."""
    try:
        texts = signature.value.split(_POINT)
        return [base64.b64decode(text, validate=True) for text in texts]
    except binascii.Error:
        return [b""]


def _certified(chain: list[bytes]) -> dict[str, str]:
    """The name in the certificate of an entry."""
    try:
        return {"certificate": holder(read_chain(chain)[0])}
    except ValueError:
        return {}


def why_unproven(alias: str, pair: PairVersion, move: Link | None, keys: Keyring) -> str | None:
    """Say why nobody who is trusted has pointed an alias at a pair.

    Args:
        alias: The alias.
        pair: The pair that it points at.
        move: The newest move of the alias.
        keys: The keys that are believed.

    Returns:
        One line with what next, None when a believed key signed that move.
    """
    label = f"alias '{alias}' of '{pair.name}'"
    next_step = (
        f"look at run=history alias={alias}, then move it with registry.sign.key: "
        f"run=alias alias={alias} version={pair.version}"
    )
    if move is None:
        return f"{label}: no move of it is recorded; {next_step}"
    entry = move.entry
    if (entry.after, entry.digest) != (pair.version, pair.digest):
        return (
            f"{label} points at version {pair.version}, its newest move went to version "
            f"{entry.after} (digest {str(entry.digest)[:12]}): somebody changed the "
            f"ledger; {next_step}"
        )
    problem = what_is_wrong(move, keys)
    return problem and f"{label}: its newest move, {problem}; {next_step}"


def what_is_wrong(link: Link, keys: Keyring) -> str | None:
    """Say what is wrong with the signature of an entry, None when a believed key signed it."""
    _, problem = judge_entry(link, keys)
    label = f"entry {link.number} of the history ({link.entry.at}, {link.entry.who})"
    return f"{label}, {problem}" if problem else None


def _text(link: Link) -> bytes:
    return entry_text(link.number, link.entry, link.previous)
