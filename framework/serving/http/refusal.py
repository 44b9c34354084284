"""The refusal that a client gets instead of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.secrets import masked


class Refusal(Exception):  # noqa: N818  not a defect: the answer to a request that cannot be served
    """An HTTP status, the path of the field (``rows[3].temp``) when one is wrong, and one line that
    says why.

    ``retry_after`` in seconds; ``headers``: more that the response has. ``wait``: seconds until it
    is answered.
    """

    def __init__(
        self,
        status: int,
        message: str,
        path: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
    ) -> None:
        message = masked(message)
        super().__init__(message)
        self.status = status
        self.message = " ".join(message.split())
        self.path = path
        self.retry_after, self.headers, self.wait = retry_after, dict(headers or {}), wait

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self.status, self.message, self.path, self.retry_after, self.headers)

    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"path": self.path, "message": self.message}}
