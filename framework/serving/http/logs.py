"""The log of a server: one line for each event, JSON unless text is asked for, with the
id of the request it is about.
"""

from __future__ import annotations

import logging
import random
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from framework.secrets import masked, masked_tree
from framework.serving.http.asgi import Answer, Call, request_id
from framework.serving.options import LogOptions

access = logging.getLogger("framework.access")
#: Of ASCII and beyond: also those that write from right to left, or end a line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: What a log record has beside the fields that a call gave as ``extra``.
_OWN = {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", "request_id", …}``: what a call gave as ``extra``
    has keys of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        about = request_id.get()
        if about:
            line["request_id"] = about.decode()
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(masked_tree(line), default=str).decode()


class TextFormatter(logging.Formatter):
    """A line for each event, for people. What a client sent cannot begin a line of its own, nor
    steer a terminal: the lines of an error are indented, and control characters are written out.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's
        """Write the line."""
        return _visible(masked(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's
        """Write the lines of an error."""
        lines = masked(super().formatException(ei)).split("\n")
        return "\n".join(f"    {_visible(line)}" for line in lines)


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def configure(options: LogOptions) -> None:
    """Set this process' logging up; the handlers that are there write in the format that is asked
    for.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    root.setLevel(options.level.upper())
    access.setLevel(logging.INFO)
    formatter = JsonFormatter() if options.format == "json" else TextFormatter()
    for handler in root.handlers:
        handler.setFormatter(formatter)


class AccessLog:
    """A share of the requests, and every one that failed: never their bodies, queries or
    headers.
    """

    def __init__(self, options: LogOptions) -> None:
        self._share = options.access / 100

    def __call__(self, call: Call, answer: Answer, seconds: float) -> None:
        if answer.status < 500 and (self._share == 0 or random.random() >= self._share):  # noqa: S311  a sample, not a secret
            return
        fields = {
            "status": answer.status,
            "milliseconds": round(1000 * seconds, 3),
            "arm": answer.arm,
            "pair": answer.pair,
        }
        access.info("%s %s", call.method, call.path, extra=fields)
