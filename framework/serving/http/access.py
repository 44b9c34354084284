"""Access control: bearer keys with scopes, kept as hashes."""

from __future__ import annotations

import hmac
import logging
import os
import re
from hashlib import sha256
from pathlib import Path
from time import monotonic

from framework.errors import ConfigError
from framework.serving.http.asgi import Call
from framework.serving.http.browsers import Browsers, is_loopback
from framework.serving.http.refusal import Refusal
from framework.serving.options import AccessOptions

SCOPES = ("predict", "metrics", "admin")
_LINE = re.compile(r"(?P<scopes>[a-z,]+)\s+(?P<hash>[0-9a-f]{64})(\s+\S.*)?", re.ASCII)
#: Seconds between two looks at the file.
_EVERY = 1.0
#: Seconds between the answers to two wrong keys, and the most that one waits.
_APART, _LONGEST_WAIT = 0.25, 5.0

log = logging.getLogger(__name__)

Keys = list[tuple[bytes, frozenset[str]]]


class Access:
    """Checks every request but those for health. Without keys everybody may do everything: for
    loopback only. Wrong keys are answered one after the other, so that nobody can try many.

    A changed file of keys takes effect within a second or so; one that cannot be read or is wrong
    changes nothing, and is logged.
    """

    def __init__(self, options: AccessOptions) -> None:
        self._file = options.keys_file
        self._scopes: dict[str, str | None] = {}
        keys = os.environ.get(options.keys_variable, "")
        if self._file is not None and keys:
            raise ConfigError(
                f"serving.access.keys_file and the variable {options.keys_variable} are "
                "both given; use one."
            )
        self._stamp = self._stat()
        self._keys = (
            _parse(keys, options.keys_variable) if self._file is None else _read(self._file)
        )
        self._next, self._free = monotonic() + _EVERY, 0.0
        self._browsers = Browsers(options, guarded=self.guarded)
        if self._file is not None and not self._keys:
            raise ConfigError(f"serving.access.keys_file: {self._file} has no key in it.")

    @property
    def guarded(self) -> bool:
        return bool(self._keys)

    def declare(self, path: str, scope: str | None) -> None:
        """Say what a key must be for to ask a path; None lets everybody ask."""
        self._scopes[path] = scope

    def scope_of(self, path: str) -> str | None:
        """Find the scope of a path: the declared one; of other paths ``/health/…`` is open,
        ``/admin/…`` is for operators, and the rest for who may ask for forecasts.
        """
        if path in self._scopes:
            return self._scopes[path]
        if path.startswith("/health/"):
            return None
        return "admin" if path.startswith("/admin/") else "predict"

    def __call__(self, call: Call) -> None:
        """Raise :class:`Refusal` 401 without a known key, 403 when the key has not the scope, and
        what :class:`~framework.serving.http.browsers.Browsers` raises.
        """
        scope = self.scope_of(call.path)
        self._browsers(call, scope)
        if not self._keys or scope is None:
            return
        if self._file is not None and monotonic() >= self._next:
            self._reread(self._file)
        kind, _, key = call.headers.get(b"authorization", b"").partition(b" ")
        presented, scopes = sha256(key.strip()).digest(), None
        for known, key_scopes in self._keys:  # all of them, so that the time says nothing
            if hmac.compare_digest(known, presented):
                scopes = key_scopes
        if scopes is None or kind.lower() != b"bearer":
            raise Refusal(
                401,
                "a key is needed: Authorization: Bearer KEY",
                headers={"www-authenticate": "Bearer"},
                wait=self._delay() if key else 0.0,
            )
        if scope not in scopes:
            raise Refusal(403, f"this key has not the scope '{scope}'")

    def _delay(self) -> float:
        """Seconds until this wrong key is answered."""
        now = monotonic()
        self._free = min(max(self._free, now) + _APART, now + _LONGEST_WAIT)
        return self._free - now

    def _stat(self) -> tuple[int, int, int] | None:
        if self._file is None or not self._file.exists():
            return None
        stat = self._file.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _reread(self, file: Path) -> None:
        self._next = monotonic() + _EVERY
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = _read(file)
        except ConfigError as error:
            log.error("%s; the keys of before stay", error)
            return
        if keys:
            self._keys = keys
            log.warning("%d keys read from %s", len(keys), file)
        else:
            log.error("%s has no key in it any more; the keys of before stay", file)


def _read(file: Path) -> Keys:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"serving.access.keys_file: {file} cannot be read: {error}.") from error
    return _parse(text, str(file))


def _parse(text: str, where: str) -> Keys:
    """Lines such as ``predict,metrics 9f86d0… team a``; ``#`` begins a comment. Errors never show
    what a line holds.
    """
    keys: Keys = []
    for number, line in enumerate(text.replace(";", "\n").splitlines(), 1):
        stripped = line.partition("#")[0].strip()
        if not stripped:
            continue
        match = _LINE.fullmatch(stripped)
        scopes = frozenset(match["scopes"].split(",")) if match else frozenset()
        if match is None or not scopes <= set(SCOPES):
            raise ConfigError(
                f"{where}, line {number}: not a key; SCOPES SHA256 is, with scopes of "
                f"{', '.join(SCOPES)}."
            )
        keys.append((bytes.fromhex(match["hash"]), scopes))
    return keys


def check_address(host: str, access: Access, options: AccessOptions) -> None:
    """Raise :class:`ConfigError` for an address that others reach while everybody may do
    everything.
    """
    if not access.guarded and not options.open and not is_loopback(host):
        raise ConfigError(
            f"serving.host={host} is reached by others and there are no keys: give "
            "serving.access.keys_file or the variable "
            f"{options.keys_variable}, or say serving.access.open=true."
        )
