"""Long requests begin one after the other, in the order in which they came."""

from __future__ import annotations

import asyncio

from framework.serving.http.turns import LONG, Turns


def test_long_requests_begin_in_order_one_a_turn_of_the_loop_and_short_ones_at_once() -> None:
    async def run() -> list[tuple[str, int]]:
        turns, loop_turns, begun = Turns(), 0, list[tuple[str, int]]()
        places = {name: turns.number() for name in "abcd"}

        async def request(name: str, size: int) -> None:
            await turns.wait(places[name], size)
            begun.append((name, loop_turns))

        tasks = {name: asyncio.create_task(request(name, LONG)) for name in "cab"}
        short = asyncio.create_task(request("d", LONG - 1))
        await asyncio.sleep(0)
        tasks["a"].cancel()  # its client has gone
        while not all(task.done() for task in (*tasks.values(), short)):
            loop_turns += 1
            await asyncio.sleep(0)
        return begun

    begun = asyncio.run(run())
    assert [name for name, _ in begun] == ["d", "b", "c"]
    assert begun[2][1] > begun[1][1]
