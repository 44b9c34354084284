"""The bucket of an entity: a stable hash that shares entities out among arms."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

#: Entities are spread over this many places; shares are exact to a hundredth of a per cent.
BUCKETS = 10_000


def bucket_of(name: str, entity: Sequence[str]) -> int:
    """Place an entity of the pair ``name`` in one of 10,000 buckets: the same in every process, on
    every machine, after every restart.
    """
    text = "\x1f".join((name, *entity)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest()) % BUCKETS
