"""Requests and responses without a framework in between: what the hot routes are made of, and the
entry that all requests pass.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, SupportsBytes

import orjson

from framework.serving.http.bodies import BodyReader, Disconnected, Receive
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.serving.http.turns import Turns
from framework.serving.options import ServingOptions

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: On every response: nothing is sniffed, framed or kept by a cache.
SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
JSON_TYPE = b"application/json"
_REQUEST_ID = re.compile(rb"[\w.:+/=-]{1,128}", re.ASCII)

log = logging.getLogger(__name__)
#: Of the request that is being answered.
request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")


@dataclass(slots=True)
class Call:
    """One request. ``id``: the client's ``X-Request-ID`` or one of ours; the response has it, and
    so has every log line about it.
    """

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    id: bytes


@dataclass(slots=True)
class Answer:
    """A body, and whose pair answered: the arm's name and the version; both empty where there is
    none.

    ``asked``: the route and body that others are told was answered, None for the client's own.
    """

    body: bytes
    arm: str = ""
    pair: int | str = ""
    status: int = 200
    headers: Headers = field(default_factory=list)
    content_type: bytes = JSON_TYPE
    asked: tuple[str, SupportsBytes] | None = None


Handler = Callable[[bytes, Call], Awaitable[Answer]]
#: Told of every request to a hot route that was answered with 200: its path and body.
Answered = Callable[[str, SupportsBytes], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """The questions of the entry to others. ``check`` raises :class:`Refusal` for a call that may
    not come in.
    """

    check: Callable[[Call], None]
    answered: Answered
    log: Callable[[Call, Answer, float], None]


#: A route that is answered at the entry: raises :class:`Refusal`.
HotRoute = Callable[[Call, Receive, Answered], Awaitable[Answer]]


class ConcurrencyLimit:
    """The limit of requests that are answered at a time. Entering raises a 503 when there are
    ``limit`` already.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit, self._count, self._shown = limit, 0, metrics.in_flight

    def __enter__(self) -> None:
        if self._count >= self._limit:
            raise Refusal(
                503, f"{self._limit} requests are being answered already; try again", retry_after=1
            )
        self._count += 1
        self._shown.inc()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        self._shown.dec()


class Limits:
    """The common limits of all requests of a server. ``deadline``: seconds until an answer is there
    once the body is.
    """

    def __init__(self, options: ServingOptions, metrics: Metrics) -> None:
        self.concurrency, self.turns = ConcurrencyLimit(options.max_in_flight, metrics), Turns()
        self.read_body, self.deadline = BodyReader(options), options.deadline


class JsonRoute:
    """``POST`` of JSON: body in, answer out. A request counts among those that are answered at
    once when its body is complete.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        accepts: frozenset[bytes] = frozenset({JSON_TYPE}),
    ) -> None:
        self._handler, self._accepts = handler, accepts
        self._read, self._concurrency = limits.read_body, limits.concurrency
        self._deadline, self._turns = limits.deadline, limits.turns

    async def __call__(self, call: Call, receive: Receive, answered: Answered) -> Answer:
        if call.method != "POST":
            raise Refusal(
                405, f"{call.method} is not allowed on {call.path}", headers={"allow": "POST"}
            )
        place = self._turns.number()
        body = await self._read(call.headers, receive, self._accepts)
        try:
            async with asyncio.timeout(self._deadline) as deadline:
                with self._concurrency:
                    await self._turns.wait(place, len(body))
                    answer = await self._handler(body, call)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Refusal(
                504, f"no answer within {self._deadline:g} s; try again with less", retry_after=1
            ) from None
        answered(*(answer.asked or (call.path, body)))
        return answer


class Entry:
    """The entry that every request passes, whatever answers it: an id, the headers of the response,
    the count by route and status.

    The hot ``routes`` are answered here; the rest is ``app``'s. A path that is neither nor in
    ``known`` counts as ``other``.
    """

    def __init__(
        self,
        app: App,
        routes: Mapping[str, HotRoute],
        known: frozenset[str],
        metrics: Metrics,
        rules: Rules,
    ) -> None:
        self._app, self._routes, self._known, self._metrics = app, routes, known, metrics
        self._check, self._answered, self._log = rules.check, rules.answered, rules.log
        self._prefix, self._numbers = os.urandom(6).hex(), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        headers = dict(scope["headers"])
        raw_id = headers.get(b"x-request-id")
        if raw_id is None or not _REQUEST_ID.fullmatch(raw_id):
            raw_id = f"{self._prefix}-{next(self._numbers):x}".encode()
        call = Call(scope["method"], scope["path"], scope["query_string"], headers, raw_id)
        request_id.set(raw_id)
        route = self._routes.get(call.path)
        try:
            self._check(call)
            if route is None:
                await self._elsewhere(call, scope, receive, send)
                return
            answer = await route(call, receive, self._answered)
        except Refusal as refusal:
            if refusal.wait:
                await asyncio.sleep(refusal.wait)
            answer = refused(refusal)
        except Disconnected:
            return
        except Exception:
            log.exception("%s %s failed", call.method, call.path)
            answer = refused(Refusal(500, "an error of the server's; its log has the cause"))
        label = call.path if route is not None or call.path in self._known else "other"
        seconds = perf_counter() - started
        self._metrics.count_request(label, answer.status, seconds, answer.arm, answer.pair)
        body = answer.body
        head = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", call.id),
        ]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [*head, *SECURITY, *answer.headers],
            }
        )
        await send({"type": "http.response.body", "body": body})
        self._log(call, answer, perf_counter() - started)

    async def _elsewhere(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        started, answer = perf_counter(), Answer(b"", status=500)

        async def completed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                message["headers"] = [*message["headers"], *SECURITY, (b"x-request-id", call.id)]
            await send(message)

        try:
            await self._app(scope, receive, completed)
        finally:
            seconds = perf_counter() - started
            self._metrics.count_request(
                call.path if call.path in self._known else "other", answer.status, seconds
            )
            self._log(call, answer, seconds)


def refused(refusal: Refusal) -> Answer:
    """The one shape that every error has."""
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    return Answer(orjson.dumps(refusal.body()), status=refusal.status, headers=headers)
