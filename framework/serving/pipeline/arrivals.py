"""Requests of a transport that hands them over one by one: a forecast begins when no further one is
on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar


class Arrival:
    """One request that is on its way, until it asks for its forecast or needs none."""

    __slots__ = ("_arrivals",)

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def here(self) -> None:
        """Say that nobody has to wait for it any longer."""
        self._arrivals.here(self)

    def gather(self, start: Callable[[], None]) -> Gathering:
        """Call ``start`` when no further request of the transport is on its way."""
        return self._arrivals.gather(start)


#: Of the request that is being answered; None where its transport hands over all that is there.
ARRIVAL: ContextVar[Arrival | None] = ContextVar("arrival", default=None)


class Gathering:
    """Something that starts when no further request is on its way, unless it is cancelled."""

    __slots__ = ("start",)

    def __init__(self, start: Callable[[], None]) -> None:
        self.start: Callable[[], None] | None = start

    def cancel(self) -> None:
        """Start nothing."""
        self.start = None


class Arrivals:
    """The requests of one transport that are on their way, on one event loop.

    Nothing waits for a length of time where no request is on its way: a lone one starts after
    ``turns`` turns of the loop, some microseconds.

    Args:
        turns: In so many turns of the loop the transport announces the next request that it has.
        seconds: A request whose content has not come within them counts no longer.
        longest: Seconds for which a start waits at most, however many requests come.
    """

    def __init__(self, turns: int, seconds: float, longest: float) -> None:
        self._turns, self._seconds, self._longest = turns, seconds, longest
        self._latest = 0.0
        self._coming: dict[Arrival, float] = {}
        self._gatherings: list[Gathering] = []
        self._quiet = 0
        self._next: asyncio.Handle | None = None

    def expect(self) -> None:
        """Count a request as on its way, the one that the current context is about."""
        now = asyncio.get_running_loop().time()
        self._forget(now)
        arrival = Arrival(self)
        self._coming[arrival] = now + self._seconds
        ARRIVAL.set(arrival)

    def here(self, arrival: Arrival) -> None:
        """Say that a request is not on its way any longer."""
        if self._coming.pop(arrival, None) is not None and self._gatherings:
            self._look_again()

    def gather(self, start: Callable[[], None]) -> Gathering:
        """Call ``start`` when no request is on its way."""
        gathering = Gathering(start)
        if not self._gatherings:
            self._latest = asyncio.get_running_loop().time() + self._longest
        self._gatherings.append(gathering)
        if self._next is None:
            self._look_again()
        return gathering

    def _look_again(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._quiet = 0
        self._next = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Start what is gathered after enough turns in which nothing was on its way."""
        loop, self._next = asyncio.get_running_loop(), None
        now = loop.time()
        self._forget(now)
        if now < self._latest:
            if self._coming:
                until = min(next(iter(self._coming.values())), self._latest)
                self._quiet, self._next = 0, loop.call_at(until, self._look)
                return
            self._quiet += 1
            if self._quiet <= self._turns:
                self._next = loop.call_soon(self._look)
                return
        gatherings, self._gatherings = self._gatherings, []
        for gathering in gatherings:
            if gathering.start is not None:
                gathering.start()

    def _forget(self, now: float) -> None:
        """Count the requests no longer that have not gone on in time; the oldest is the first."""
        while self._coming:
            arrival, until = next(iter(self._coming.items()))
            if until > now:
                return
            del self._coming[arrival]
