"""Secrets of a configuration: what counts as one, and how they are kept out of everything that is
written or said.

The values of this process's secrets are remembered when its configuration is checked. From then on
they are ``***`` in errors, log lines, tracebacks and results, whichever library names them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

#: Words of which one makes a name that of a secret, the kinds of key that are one, and last words
#: that make it a name of something else.
_WORDS = frozenset(
    [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "apikey",
    ]
)
_LAST_WORDS = frozenset(["pass", "token"])
_KEYS = frozenset(
    [
        "api",
        "access",
        "account",
        "auth",
        "encryption",
        "master",
        "private",
        "secret",
        "shared",
        "signing",
        "storage",
    ]
)
_OTHERS = frozenset(
    ["env", "file", "name", "path", "provider", "seconds", "ttl", "type", "variable"]
)

#: ``//user:password@``. A password with a slash ends at the first ``@``; a port and a path are no
#: password.
_USERINFO = re.compile(r"(://[^:/?#@\s'\"]*:)(?!\d+/)([^/\s'\"]*|[^@\s'\"]+)@")
#: ``password=…`` in a query, a connection string or a message.
_ASSIGNED = re.compile(
    r"((?:^|[?&;,\s(])([A-Za-z][\w.-]*)\s?=\s?)(?!['\"]?\$\{)('[^']*'|\"[^\"]*\"|[^\s&;,'\")]+)"
)

#: Shorter secrets are masked as whole words only.
_LONG = 6

_known: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


def looks_secret(name: str) -> bool:
    """Say whether an option of this name, or path, holds a secret: ``password``,
    ``secret_access_key``, ``apiKey``; not ``password_env``.

    Args:
        name: The name or path.

    Returns:
        True when its value is to be masked.
    """
    words = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rpartition(".")[2])
        .replace("-", "_")
        .lower()
        .split("_")
    )
    if words[-1] in _OTHERS:
        return False
    pairs = {*pairwise(words)}
    return (
        words[-1] in _LAST_WORDS
        or not _WORDS.isdisjoint(words)
        or any(kind in _KEYS and key == "key" for kind, key in pairs)
    )


def secrets_in(text: str) -> list[str]:
    """List the passwords of URLs in a text, and what is assigned to a secret's name in a query or a
    connection string.

    Args:
        text: Any text.

    Returns:
        The secrets.
    """
    assigned = [
        match[3].strip("'\"") for match in _ASSIGNED.finditer(text) if looks_secret(match[2])
    ]
    return [
        password
        for password in [*(match[2] for match in _USERINFO.finditer(text)), *assigned]
        if password
    ]


def remember(value: str) -> None:
    """Mask a value, as it is and as URLs, JSON and Python write it, in all that this process says
    from now on.

    Args:
        value: The secret.
    """
    global _pattern  # noqa: PLW0603  of the process, as its log is
    lines = [line.strip() for line in value.splitlines()]
    forms = {
        value,
        " ".join(value.split()),
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
    }
    forms |= {line for line in lines if len(line) >= 3 * _LONG}
    fresh = {form for form in forms if form.strip() and form != MASK} - _known.keys()
    if not fresh:
        return
    if not _known:
        _shield()
    _known.update(dict.fromkeys(fresh))
    parts = [
        re.escape(form) if len(form) >= _LONG else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form in sorted(_known, key=len, reverse=True)
    ]
    _pattern = re.compile("|".join(parts))


def masked(text: str) -> str:
    """Mask the secrets that are remembered, and those that their shape gives away.

    Args:
        text: Any text.

    Returns:
        The text with ``***`` in their place.
    """
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    if "://" in text:
        text = _USERINFO.sub(rf"\g<1>{MASK}@", text)
    if "=" in text:
        text = _ASSIGNED.sub(
            lambda match: f"{match[1]}{MASK}" if looks_secret(match[2]) else match[0], text
        )
    return text


def masked_tree(value: Any) -> Any:
    """Mask every text in plain containers. A text below the name of a secret is masked whole.

    Args:
        value: Dictionaries, lists and plain values.

    Returns:
        The same shape, masked.
    """
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {
            key: MASK
            if looks_secret(str(key)) and isinstance(inner, str) and inner
            else masked_tree(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked_tree(inner) for inner in value]
    return value


def _shield() -> None:
    """Log records and tracebacks of this process go through :func:`masked`."""
    make, formatter, show = logging.getLogRecordFactory(), logging.Formatter(), sys.excepthook

    def record(*values: Any, **more: Any) -> logging.LogRecord:
        log_record = make(*values, **more)
        if isinstance(log_record.args, tuple):
            log_record.args = tuple(
                masked(arg) if isinstance(arg, str) else arg for arg in log_record.args
            )
        try:
            message = log_record.getMessage()
        except (TypeError, ValueError):  # the log itself says what is wrong with such a record
            return log_record
        if masked(message) != message:
            log_record.msg, log_record.args = masked(message), None
        if log_record.exc_info and log_record.exc_info[0] is not None:
            log_record.exc_text = masked(formatter.formatException(log_record.exc_info))
        return log_record

    def excepthook(
        kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        if show is not sys.__excepthook__:
            show(kind, error, where)
            return
        sys.stderr.write(masked("".join(traceback.format_exception(kind, error, where))))

    logging.setLogRecordFactory(record)
    sys.excepthook = excepthook


_NAMED = re.compile(r"\$\{\s*oc\.env\s*:\s*([^,}\s]+)")


def variables(text: str) -> Iterator[str]:
    """List the environment variables that a recorded text names.

    Args:
        text: A composed configuration, as text.

    Yields:
        The names, each once.
    """
    yield from dict.fromkeys(match[1] for match in _NAMED.finditer(text))
