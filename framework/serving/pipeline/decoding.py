"""JSON bytes to typed requests; what does not fit is refused with its path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.repeated_keys import most_keys, refuse_repeated

#: Characters of a key that is not known.
_SHOWN = 100


class Decoder:
    """JSON bytes to one type. Raises a 400 when they are no JSON, a 422 with the path when they are
    not that type, or have a key twice.

    ``count`` gives the keys that a decoded body had at least: as many as there are says that none
    is there twice, without a second look.
    """

    def __init__(self, kind: Any, count: Callable[[Any], int] = lambda _: -1) -> None:
        self._decode, self._count = msgspec.json.Decoder(kind).decode, count

    def __call__(self, body: bytes) -> Any:
        request = self._decoded(body)
        if most_keys(body) != self._count(request):
            refuse_repeated(body)
        return request

    def _decoded(self, body: bytes) -> Any:
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise _explain(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refusal(400, f"the body is not JSON: {error}", "body") from None
        except RecursionError:
            raise Refusal(400, "the body is nested too deeply", "body") from None


def _explain(text: str) -> Refusal:
    """msgspec's "… - at `$.rows[3].temp`" as a refusal; a missing or unknown field becomes part of
    the path.
    """
    message, _, where = text.rpartition(" - at `$") if " - at `$" in text else (text, "", "")
    path = where.removesuffix("`").removeprefix(".")
    field = re.match(
        r"Object (missing required|contains unknown) field `(.*)`$", message, re.DOTALL
    )
    if field is None:
        return Refusal(422, message.replace("`", "'"), path or "body")
    name = field[2] if len(field[2]) <= _SHOWN else f"{field[2][:_SHOWN]}…"
    path = f"{path}.{name}" if path else name
    return Refusal(
        422, "a value is required" if field[1] == "missing required" else "unknown field", path
    )
