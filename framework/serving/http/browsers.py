"""Protection of users of browsers: a foreign page may not ask through the browser of somebody who
may.
"""

from __future__ import annotations

import ipaddress

from framework.serving.http.asgi import JSON_TYPE, Call
from framework.serving.http.refusal import Refusal
from framework.serving.options import AccessOptions

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Headers ``Host`` that are kept as known to be right.
_KEPT = 100


class Browsers:
    """Checks the headers that browsers send of themselves: ``Host`` and ``Origin``.

    A name that its owner points at this server makes a page of that name one of this server's own
    (DNS rebinding). So a server that asks for no key answers loopback names only, and those of
    ``hosts``. ``guarded``: whether it asks for keys, which no page has.
    """

    def __init__(self, options: AccessOptions, *, guarded: bool) -> None:
        self._hosts = frozenset(options.hosts)
        self._any_host = not options.hosts and (guarded or options.open)
        self._origins = frozenset(origin.encode() for origin in options.cors)
        self._known = set[bytes]()

    def __call__(self, call: Call, scope: str | None) -> None:
        """Check one request.

        Args:
            call: The request.
            scope: What a key must be for to ask it; None for what everybody may ask.

        Raises:
            Refusal: 421 for a foreign ``Host``, 403 for a foreign ``Origin``, 415 for an order to
                the server that is not JSON.
        """
        host = call.headers.get(b"host")
        if scope is not None and host is not None and host not in self._known:
            self._check_host(host)
        if call.method in _READING:
            return
        origin = call.headers.get(b"origin")
        if origin is not None:
            self._check_origin(origin, host)
        if scope == "admin":
            _check_json(call)

    def _check_host(self, host: bytes) -> None:
        if not self._any_host:
            name = _name(host)
            if name not in self._hosts and not is_loopback(name):
                raise Refusal(
                    421,
                    f"this server is not '{name[:100]}'; name it in serving.access.hosts, or give "
                    "keys",
                )
        if len(self._known) < _KEPT:
            self._known.add(host)

    def _check_origin(self, origin: bytes, host: bytes | None) -> None:
        if origin in self._origins or b"*" in self._origins:
            return
        if host is None or origin.lower().partition(b"://")[2] != host.lower():
            text = origin[:100].decode("latin-1")
            raise Refusal(
                403, f"pages of '{text}' may not ask; serving.access.cors names those that may"
            )


def is_loopback(host: str) -> bool:
    """Say whether a name or an address, without a port, always means the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: bytes) -> str:
    """``Host`` without its port and brackets."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def _check_json(call: Call) -> None:
    """A form that a page sends is no order. No type without a body is one: ``curl -X POST``."""
    content_type = call.headers.get(b"content-type")
    empty = call.headers.get(b"content-length", b"0") == b"0" and (
        b"transfer-encoding" not in call.headers
    )
    if content_type is None and empty:
        return
    if content_type is None or content_type.partition(b";")[0].strip().lower() != JSON_TYPE:
        raise Refusal(415, "send JSON, with the header Content-Type: application/json")
