"""What a server takes on at most. A backend's options are a subclass, so that each limit is one of its keys."""

from __future__ import annotations

from pydantic import PositiveInt

from framework.interfaces.options import Options


class Limits(Options):
    """What is above a limit is refused.

    ``max_body_bytes`` and ``max_rows`` (or entities) of one request: more is 413. ``max_in_flight`` requests at once: more is 503
    with Retry-After.
    """

    max_body_bytes: PositiveInt = 16 * 1024 * 1024
    max_rows: PositiveInt = 20_000
    max_in_flight: PositiveInt = 256
