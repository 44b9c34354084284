"""A forecast waits for the requests that are on their way, and for no others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from framework.serving.pipeline.arrivals import ARRIVAL, Arrivals
from framework.serving.pipeline.batching import Batches

TURNS = 6


class Transport:
    """Hands requests over one by one, with turns of the loop in between; ``calls``: the items of
    each call.
    """

    def __init__(
        self, seconds: float = 30.0, longest: float = 30.0, size: int = 100, wait_s: float = 0.0
    ) -> None:
        self.arrivals = Arrivals(TURNS, seconds, longest)
        self.calls = list[list[int]]()
        self._batches = Batches(self._work, size, wait_s)

    async def _work(self, items: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(items))
        return items

    def announce(self, item: int, ready: asyncio.Event | None = None) -> asyncio.Task[int]:
        """A request that has begun; its content is there when ``ready`` says so."""

        async def answer() -> int:
            await asyncio.sleep(0) if ready is None else await ready.wait()
            return await self._batches.ask(item)

        context = copy_context()
        context.run(self.arrivals.expect)
        return asyncio.get_running_loop().create_task(answer(), context=context)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_that_are_announced_one_after_another_are_one_call() -> None:
    async def run() -> list[list[int]]:
        transport, asked = Transport(), list[asyncio.Task[int]]()
        for item in range(5):
            asked.append(transport.announce(item))
            await turns(TURNS - 1)
        assert await asyncio.gather(*asked) == list(range(5))
        return transport.calls

    assert asyncio.run(run()) == [[0, 1, 2, 3, 4]]


def test_a_lone_request_starts_after_the_turns_without_a_timer() -> None:
    async def run() -> list[list[int]]:
        transport = Transport()
        asked = transport.announce(1)
        await turns(TURNS + 5)
        assert asked.done()
        return transport.calls

    assert asyncio.run(run()) == [[1]]


def test_a_full_call_starts_at_once_and_the_rest_waits_for_what_is_on_its_way() -> None:
    async def run() -> list[list[int]]:
        transport, late = Transport(size=2), asyncio.Event()
        asked = [transport.announce(item) for item in range(3)]
        last = transport.announce(3, late)
        await turns(3 * TURNS)
        assert transport.calls == [[0, 1]]
        late.set()
        await asyncio.gather(*asked, last)
        return transport.calls

    assert asyncio.run(run()) == [[0, 1], [2, 3]]


def test_a_request_that_is_refused_keeps_nobody_waiting() -> None:
    async def run() -> list[list[int]]:
        transport, refused = Transport(), copy_context()
        refused.run(transport.arrivals.expect)
        asked = transport.announce(1)
        await turns(3 * TURNS)
        assert not asked.done()
        arrival = refused[ARRIVAL]
        assert arrival is not None
        arrival.here()
        await turns(TURNS + 5)
        assert asked.done()
        return transport.calls

    assert asyncio.run(run()) == [[1]]


def test_a_request_that_goes_no_further_is_waited_for_no_longer_than_it_may_take() -> None:
    async def run() -> Any:
        transport = Transport(seconds=0.01)
        transport.announce(0, asyncio.Event())
        return await transport.announce(1), transport.calls

    assert asyncio.run(run()) == (1, [[1]])


def test_a_stream_of_requests_that_never_come_delays_a_start_by_the_longest_wait() -> None:
    async def run() -> Any:
        transport, never = Transport(longest=0.05), asyncio.Event()

        async def begin_again_and_again() -> None:
            while True:
                transport.announce(0, never)
                await asyncio.sleep(0.001)

        stream = asyncio.create_task(begin_again_and_again())
        answer = await transport.announce(1)
        stream.cancel()
        return answer, transport.calls

    assert asyncio.run(run()) == (1, [[1]])


def test_requests_that_have_gone_are_forgotten() -> None:
    async def run() -> int:
        arrivals = Arrivals(TURNS, 0.0, 30.0)
        for _ in range(1000):
            arrivals.expect()
        return len(arrivals._coming)

    assert asyncio.run(run()) == 1


def test_a_wait_that_is_configured_is_kept() -> None:
    async def run() -> list[list[int]]:
        transport = Transport(wait_s=0.05)
        first = transport.announce(1)
        await turns(5 * TURNS)
        second = transport.announce(2)
        await asyncio.gather(first, second)
        return transport.calls

    assert asyncio.run(run()) == [[1, 2]]
