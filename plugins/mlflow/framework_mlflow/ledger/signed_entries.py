"""Signed entries of the history: who moved an alias where is proven by a key.

The signature is over the entry's text as it is hashed: its number, the hash of the entry before,
who, when, what, which alias, from where to where, the digest of the pair, the reason and the
verdict.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING

from framework.interfaces.registry import HistoryEntry, PairVersion
from framework_mlflow.keys import Keyring, Verdict, key_name, sign_bytes
from framework_mlflow.ledger.history import EntrySignature, Link, entry_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_KIND = "application/vnd.framework.history-entry+json"


def sign_entry(link: Link, key: EllipticCurvePrivateKey) -> EntrySignature:
    """Sign an entry.

    Args:
        link: The entry in its place.
        key: The private key.

    Returns:
        The signature.
    """
    signature = sign_bytes(key, _KIND, _text(link))
    return EntrySignature(key_name(key.public_key()), base64.b64encode(signature).decode())


def judge_entry(link: Link, keys: Keyring) -> Verdict | None:
    """Check the signature of an entry.

    Args:
        link: The entry in its place.
        keys: The keys that are believed.

    Returns:
        Whose it is; None where nothing is signed.
    """
    if link.signature is None:
        return None
    try:
        signature = base64.b64decode(link.signature.value, validate=True)
    except binascii.Error:
        return "wrong"
    return keys.judge(link.signature.key, _KIND, _text(link), signature)


def with_verdict(link: Link, keys: Keyring) -> HistoryEntry:
    """Say of an entry what is known of its signature.

    Args:
        link: The entry in its place.
        keys: The keys that are believed.

    Returns:
        The entry. Without keys nothing is checked.
    """
    verdict = judge_entry(link, keys) if keys else "unchecked"
    key = None if link.signature is None else link.signature.key
    if key is None:
        return (
            replace(link.entry, signature={"key": None, "status": "unsigned"})
            if keys
            else link.entry
        )
    return replace(link.entry, signature={"key": key, "status": str(verdict)})


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
    verdict = judge_entry(link, keys)
    label = f"entry {link.number} of the history ({link.entry.at}, {link.entry.who})"
    if verdict is None:
        return f"{label}, is not signed and registry.trust asks for a signature"
    key = link.signature.key[:12] if link.signature else ""
    if verdict == "unknown":
        return f"{label}, is signed by the key {key}, which registry.trust does not list"
    if verdict == "wrong":
        return f"{label}, does not have the signature of the key {key}: somebody changed it"
    return None


def _text(link: Link) -> bytes:
    return entry_text(link.number, link.entry, link.previous)
