"""Requests worked on together: the same bits as alone, nobody's failure but one's own, nobody waits
for who has gone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.errors import FrameworkError
from framework.serving.pipeline.batching import Batches
from framework.serving.pipeline.pipeline import TOGETHER, TOGETHER_IN_THREAD, call_size
from framework.testing import fakes
from framework.testing.servers.fake_server import make_pipeline


def contexts_of(sizes: Sequence[int], **named: int) -> list[Context]:
    """Requests of so many windows, all different; ``BROKEN=3`` spoils the first window of request
    3.
    """
    schema, made = fakes.make_schema(), []
    for number, size in enumerate(sizes):
        static = np.array([[f"a{number}-{i}", "b", "c"] for i in range(size)], dtype=object)
        for value, which in named.items():
            if which == number:
                static[0, 2] = value
        made.append(
            fakes.make_context(schema, static, np.datetime64("2024-03-01", "us"), seed=number)
        )
    return made


def counted(pair: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Windows of each call of the pair's model."""
    calls, predict = list[int](), pair.model.predict

    def counting(windows: Any) -> Any:
        calls.append(len(windows))
        return predict(windows)

    monkeypatch.setattr(pair.model, "predict", counting)
    return calls


def answers(pipeline: Any, contexts: Sequence[Context]) -> list[Forecast]:
    async def ask() -> list[Forecast]:
        return await asyncio.gather(*(pipeline.answer(context) for context in contexts))

    return asyncio.run(ask())


def test_requests_at_the_same_time_are_one_call_and_get_the_bits_of_a_call_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, _ = fakes.make_pair()
    contexts = contexts_of([1, 3, 1, 2, 1])
    contexts[1].status[1], contexts[1].detail[1] = "stale", "4 days old"
    contexts[3] = replace(contexts[3], horizon=1)
    alone = [make_pipeline(pair).forecast(context) for context in contexts]
    calls = counted(pair, monkeypatch)
    together = answers(make_pipeline(pair), contexts)
    assert calls == [7]
    for one, other in zip(together, alone, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        assert (one.status, one.detail, one.times.tolist()) == (
            other.status,
            other.detail,
            other.times.tolist(),
        )
        assert one.entities.tolist() == other.entities.tolist()


def test_a_call_has_at_most_size_windows_and_what_is_larger_goes_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, _ = fakes.make_pair()
    calls = counted(pair, monkeypatch)
    answers(make_pipeline(pair, size=4), contexts_of([1, 2, 2, 1, 1, 9, 4]))
    assert sorted(calls) == [3, 4, 4, 9]
    calls.clear()
    answers(make_pipeline(pair, size=1), contexts_of([1, 1]))
    assert calls == [1, 1]


def test_long_requests_at_the_same_time_are_calls_in_a_thread_with_the_bits_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, _ = fakes.make_pair()
    contexts = contexts_of([TOGETHER, 3 * TOGETHER, TOGETHER + 1, 1])
    contexts[1].status[1], contexts[1].detail[1] = "stale", "4 days old"
    alone = [make_pipeline(pair).forecast(context) for context in contexts]
    started, free, calls = threading.Event(), threading.Event(), list[int]()
    predict, loop_thread = pair.model.predict, threading.get_ident()

    def slowly(windows: Any) -> Any:
        if threading.get_ident() != loop_thread:
            calls.append(len(windows))
            started.set()
            assert free.wait(10)
        return predict(windows)

    monkeypatch.setattr(pair.model, "predict", slowly)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    async def ask() -> list[Forecast]:
        pipeline = make_pipeline(pair)
        first = asyncio.create_task(pipeline.answer(contexts[0]))
        await asyncio.to_thread(started.wait, 10)
        others = [asyncio.create_task(pipeline.answer(context)) for context in contexts[1:]]
        short = await others[-1]  # the loop is free while the thread works
        free.set()
        return [await first, *await asyncio.gather(*others[:-1]), short]

    together = asyncio.run(ask())
    assert calls == [TOGETHER, 4 * TOGETHER]
    for one, other in zip(together, alone, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        assert one.status == other.status


def test_requests_without_a_window_to_forecast_disturb_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, _ = fakes.make_pair()
    calls = counted(pair, monkeypatch)
    contexts = contexts_of([1, 2, 1])
    for context in contexts[:2]:
        context.status[:] = ["stale"] * len(context)
    assert [one.status for one in answers(make_pipeline(pair), contexts)] == [
        ["stale"],
        ["stale"] * 2,
        ["ok"],
    ]
    assert calls == [1]


def test_as_many_long_calls_work_at_the_same_time_as_the_process_may_use_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``OMP_NUM_THREADS`` is what a container's quota sets."""
    pair, _ = fakes.make_pair()
    predict, both, calls = pair.model.predict, threading.Barrier(2), list[int]()

    def together(windows: Any) -> Any:
        calls.append(len(windows))
        if len(calls) <= 2:
            both.wait(10)
        return predict(windows)

    monkeypatch.setattr(pair.model, "predict", together)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    long = TOGETHER_IN_THREAD // 2 + 1
    forecasts = answers(make_pipeline(pair), contexts_of([long] * 4))
    assert [one.status for one in forecasts] == [["ok"] * long] * 4
    assert calls == [long] * 4


@pytest.mark.parametrize(("slow_for_each", "expected"), [(False, None), (True, 1)])
def test_calls_are_shared_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, slow_for_each: bool, expected: int | None
) -> None:
    pair, golden = fakes.make_pair()
    predict = pair.model.predict

    def slowly(windows: Any) -> Any:
        time.sleep(0.02 * (len(windows) if slow_for_each else 1))
        return predict(windows)

    monkeypatch.setattr(pair.model, "predict", slowly)
    assert call_size(pair, golden.context) == expected
    golden.context.status[:] = ["stale"] * len(golden.context)
    assert call_size(pair, golden.context) is None


def test_the_failure_of_one_is_nobody_elses() -> None:
    pair, _ = fakes.make_pair()
    contexts = contexts_of([1, 3, 1], BROKEN=1)
    found = answers(make_pipeline(pair), contexts)
    assert [one.status for one in found] == [["ok"], ["error", "ok", "ok"], ["ok"]]
    for one, context in zip(found[::2], contexts[::2], strict=True):
        assert one.values.tobytes() == pair.forecast(context).values.tobytes()


def test_a_defect_is_raised_to_who_met_it() -> None:
    async def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ZeroDivisionError(len(items))
        return [2 * item for item in items]

    async def ask() -> list[Any]:
        batches = Batches(work, 10)
        return await asyncio.gather(
            *(batches.ask(item) for item in (1, 3, 5)), return_exceptions=True
        )

    first, second, third = asyncio.run(ask())
    assert (first, third) == (2, 10)
    assert isinstance(second, ZeroDivisionError)
    assert second.args == (1,)


def test_who_has_gone_is_left_out_and_keeps_nobody_waiting() -> None:
    seen: list[list[int]] = []

    async def work(items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        return list(items)

    async def ask() -> list[Any]:
        batches = Batches(work, 10, wait_s=0.05)
        asked = [asyncio.create_task(batches.ask(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert (first, third) == (1, 3)
    assert isinstance(second, asyncio.CancelledError)
    assert seen == [[1, 3]]


def test_the_wait_gathers_what_comes_one_after_another() -> None:
    seen: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        seen.append(len(items))
        return list(items)

    async def ask(wait: float) -> None:
        batches = Batches(work, 3, wait)
        asked = []
        for item in range(6):
            asked.append(asyncio.create_task(batches.ask(item)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*asked)

    asyncio.run(ask(30.0))  # a full call does not wait
    assert seen == [3, 3]
    seen.clear()
    asyncio.run(ask(0.0))
    assert seen == [1] * 6


def test_a_pair_that_fails_for_all_says_so_to_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, _ = fakes.make_pair()

    def predict(_: Any) -> Any:
        raise FrameworkError("the model is broken.")

    monkeypatch.setattr(pair.model, "predict", predict)
    for one in answers(make_pipeline(pair), contexts_of([1, 2])):
        assert set(one.status) == {"error"}
        assert "the model is broken" in str(one.detail[0])


def test_what_comes_while_all_calls_are_at_work_is_the_next_one() -> None:
    async def run() -> list[list[int]]:
        made, free = list[list[int]](), asyncio.Event()

        async def work(items: Sequence[int]) -> Sequence[int]:
            made.append(list(items))
            await free.wait()
            return items

        batches = Batches(work, size=3, at_once=2)
        asked = []
        for item in range(7):
            asked.append(asyncio.create_task(batches.ask(item)))
            for _ in range(3):
                await asyncio.sleep(0)
        free.set()
        assert await asyncio.gather(*asked) == list(range(7))
        return made

    assert asyncio.run(run()) == [[0], [1], [2, 3, 4], [5, 6]]
