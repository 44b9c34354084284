"""Times of requests: ISO 8601 texts to UTC and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from framework.data.arrays import Times
from framework.serving.http.refusal import Refusal

#: Outside of these years a calendar is meaningless and date arithmetic may overflow.
_FIRST, _LAST = 1900, 2200


def parse_time(text: str, path: str) -> datetime:
    """ISO 8601 to UTC without a zone; a text without an offset is UTC. Raises a 422 that names
    ``path``.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(
            422, f"'{text[:40]}' is not an ISO 8601 time such as 2013-06-01T00:00:00Z", path
        ) from None
    if not _FIRST <= time.year <= _LAST:
        raise Refusal(422, f"the year must lie between {_FIRST} and {_LAST}, got {time.year}", path)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def parse_times(texts: Sequence[str], path: Callable[[int], str]) -> Times:
    """``[n]``; ``path(i)`` names the i-th text in an error."""
    if len(texts) == 1:
        return np.array([parse_time(texts[0], path(0))], dtype="M8[us]")
    places: dict[str, int] = {}
    parsed: list[datetime] = []
    for i, text in enumerate(texts):
        if text not in places:
            places[text] = len(parsed)
            parsed.append(parse_time(text, path(i)))
    return np.array(parsed, dtype="M8[us]")[[places[text] for text in texts]]
