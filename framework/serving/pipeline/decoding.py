"""JSON bytes to typed requests; what does not fit is refused with its path."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from framework.serving.http.refusal import Refusal


class Decoder:
    """JSON bytes to one type. Raises a 400 when they are no JSON, a 422 with the path when they are
    not that type.
    """

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, body: bytes) -> Any:
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
    path = f"{path}.{field[2]}" if path else field[2]
    return Refusal(
        422, "a value is required" if field[1] == "missing required" else "unknown field", path
    )
