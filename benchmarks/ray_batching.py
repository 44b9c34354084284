"""What it costs to answer requests together, without servers: 16 clients ask for work that takes 1
ms a call, however many it is for.

alone         each request is a call
ours          framework.serving.pipeline.batching, two calls at once at most, as in ModelService
serve.batch   Ray Serve's decorator, that waits for nothing, and that waits 2 ms

    python benchmarks/ray_batching.py [--requests 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve
from ray.serve import batching as theirs

from framework.serving.pipeline.batching import Batches

CLIENTS, SIZE, THREADS = 16, 64, ThreadPoolExecutor(2)


def call(items: Sequence[int]) -> list[int]:
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass
    return list(items)


async def work(items: Sequence[int]) -> list[int]:
    return await asyncio.get_running_loop().run_in_executor(THREADS, call, items)


class Decorated:
    @serve.batch(max_batch_size=SIZE, batch_wait_timeout_s=0.0)
    async def at_once(self, items: list[int]) -> list[int]:
        return await work(items)

    @serve.batch(max_batch_size=SIZE, batch_wait_timeout_s=0.002)
    async def waiting(self, items: list[int]) -> list[int]:
        return await work(items)


async def measure(ask: Callable[[int], Awaitable[Any]], requests: int) -> dict[str, float]:
    left, seconds = iter(range(requests)), list[float]()

    async def client() -> None:
        for item in left:
            started = time.perf_counter()
            await ask(item)
            seconds.append(time.perf_counter() - started)

    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    rate = requests / (time.perf_counter() - started)
    return {
        "rate": rate,
        "cpu": 1e3 * (time.process_time() - used) / requests,
        "p50": 1e3 * statistics.median(seconds),
    }


async def compare(requests: int) -> None:
    async def alone(item: int) -> int:
        return (await work([item]))[0]

    decorated = Decorated()
    asks: dict[str, Callable[[int], Awaitable[Any]]] = {
        "alone": alone,
        "ours": Batches(work, SIZE, at_once=2).ask,
        "serve.batch": decorated.at_once,
        "serve.batch 2 ms": decorated.waiting,
    }
    found = {}
    print(f"{'':<18}{'req/s':>10}{'CPU ms':>10}{'p50 ms':>10}")
    for name, ask in asks.items():
        found[name] = await measure(ask, requests // 10 if name == "alone" else requests)
        print(
            f"{name:<18}{found[name]['rate']:>10.0f}{found[name]['cpu']:>10.3f}{found[name]['p50']:>10.2f}"
        )
    print(
        f"together: ours takes {found['ours']['cpu'] / found['serve.batch']['cpu']:.2f} x "
        "the CPU time of serve.batch"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=5000)
    # the decorator looks at the replica that it is in, to warn
    theirs._BatchQueue._warn_if_max_batch_size_exceeds_max_ongoing_requests = lambda self: None
    asyncio.run(compare(parser.parse_args().requests))


if __name__ == "__main__":
    main()
