"""The options that every serving backend has. A backend's own options are a subclass, so that each of these is one of its keys."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from framework.interfaces.options import Options


class ReloadOptions(Options):
    """How a server follows its aliases.

    ``seconds`` between two looks at the registry; null: only when ``POST /admin/reload`` asks. ``backoff``: the longest time in seconds
    until a pair that was refused is tried again; the first wait is ``seconds``, each further one twice as long.
    """

    seconds: PositiveFloat | None = 2.0
    backoff: PositiveFloat = 300.0


class ServingOptions(Options):
    """Limits: what is above one is refused.

    ``max_body_bytes`` and ``max_rows`` (or entities) of one request: more is 413. ``max_in_flight`` requests at once: more is 503
    with Retry-After. ``deadline``: seconds that a request may take, null for any; then it is 408 while its body is awaited, else 504.
    """

    max_body_bytes: PositiveInt = 16 * 1024 * 1024
    max_rows: PositiveInt = 20_000
    max_in_flight: PositiveInt = 256
    deadline: PositiveFloat | None = 60.0
    reload: ReloadOptions = ReloadOptions()
