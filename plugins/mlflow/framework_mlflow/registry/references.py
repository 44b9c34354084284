"""References to a pair: its number, ``latest`` or an alias."""

from __future__ import annotations

import re

from framework.errors import ConfigError, suggest
from framework_mlflow.ledger.transaction import LedgerReader

_ALIAS = re.compile(r"[A-Za-z_][\w-]{0,99}", re.ASCII)
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


def why_absent(reader: LedgerReader, name: str, reference: str, number: int | None) -> str:
    """Say why ``reference`` means no pair, and what there is. ``number``: None for an alias."""
    pairs, aliases = reader.pairs(name), reader.aliases(name)
    if not pairs:
        known = sorted({pair.name for pair in reader.pairs()})
        text = f"it has {', '.join(known)}" if known else "it is empty"
        return (
            f"the registry has no pair of '{name}':{suggest(name, known)} {text}; run=train "
            "registers one."
        )
    text = (
        ", ".join(f"{alias} -> {version}" for alias, version in sorted(aliases.items())) or "none"
    )
    versions = f"versions {', '.join(str(pair.version) for pair in reversed(pairs[:20]))}"
    if number is None:
        return (
            f"'{name}' has no alias '{reference}';{suggest(reference, aliases)} aliases: "
            f"{text}; {versions}."
        )
    return f"'{name}' has no complete pair of version {number}; {versions}; aliases: {text}."


def check_alias(alias: str) -> None:
    """Raise ConfigError for a name that could be taken for a version, or that MLflow would not
    take.
    """
    if _RESERVED.fullmatch(alias) or not _ALIAS.fullmatch(alias):
        raise ConfigError(
            f"alias: '{alias}' cannot be one; 'latest', 'v1' and numbers mean versions, a "
            "name is a letter, then letters, digits, - and _."
        )
