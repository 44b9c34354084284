"""The hooks of serving: who is told what, in which order, and that each has its own trouble."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.errors import FrameworkError
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import hookimpl
from framework.serving.http.asgi import Answer, Call, request_id
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_deployment, make_row

BODY = orjson.dumps({"rows": [make_row(), make_row(airport="EWR")]})


def make_plugin(name: str, **hooks: Callable[..., Any]) -> object:
    marked = {hook: hookimpl(function) for hook, function in hooks.items()}
    return SimpleNamespace(__name__=name, **marked)


def make_service(directory: Path, *plugins: object, **options: Any) -> Service:
    return Service(
        make_deployment(directory, extra=plugins), ServingOptions.model_validate(options)
    )


async def ask(service: Service, body: bytes = BODY) -> Answer:
    request_id.set(b"id-7")
    return await service.answers.payload(body, Call("POST", "/predict", b"", {}, b"id-7"))


def serve(service: Service, requests: int = 1, during: Callable[[], Any] = lambda: None) -> None:
    async def run() -> None:
        service.start()
        for _ in range(requests):
            await ask(service)
        await asyncio.to_thread(during)
        await service.close()

    asyncio.run(run())


def metric(service: Service, observer: str, outcome: str) -> float:
    labels = {"observer": observer, "outcome": outcome}
    return sum(
        value
        for name, found, value in service.metrics.samples()
        if name == "framework_observed_total" and found == labels
    )


def test_a_plugin_follows_a_server_from_start_to_stop(tmp_path: Path) -> None:
    events: list[tuple[Any, ...]] = []
    threads = set()

    def served(
        arm: ServedArm, forecast: Forecast, request: ServedRequest, context: Context
    ) -> None:
        threads.add(threading.current_thread().name)
        events.append(("served", arm, forecast, request, context))

    plugin = make_plugin(
        "follower",
        server_started=lambda deployment: events.append(("started", deployment.name)),
        forecasts_served=served,
        pair_swapped=lambda arm: events.append(("swapped", arm.name, arm.pair.version)),
        server_stopped=lambda: events.append(("stopped",)),
    )
    service = make_service(tmp_path, plugin)
    registry = FolderRegistry(tmp_path)
    registry.add(4)

    def move() -> None:
        registry.point("production", 4)
        assert service.follower.look()[0]["status"] == "swapped"

    serve(service, during=move)
    kinds = [event[0] for event in events]
    assert kinds == ["started", "swapped", "served", "swapped", "stopped"]
    assert events[1][1:] == ("production", 3)
    assert events[3][1:] == ("production", 4)
    _, arm, forecast, request, context = events[2]
    assert (arm.name, arm.alias, arm.pair.version, arm.shadow) == (
        "production",
        "production",
        3,
        False,
    )
    assert arm.pair.digest
    assert arm.schema.entity_keys == ("airport", "carrier")
    assert forecast.entities.tolist() == [["JFK", "DL"], ["EWR", "DL"]]
    assert forecast.values.shape[0] == len(context) == request.forecasts == 2
    assert request.id == "id-7"
    assert request.at.tzinfo is not None
    assert threads == {"observer follower"}
    assert metric(service, "follower", "told") == 2


def test_a_plugin_takes_only_the_arguments_it_needs(tmp_path: Path) -> None:
    counts: list[int] = []
    plugin = make_plugin(
        "few", forecasts_served=lambda forecast: counts.append(len(forecast.status))
    )
    service = make_service(tmp_path, plugin)
    serve(service, requests=3)
    assert counts == [2, 2, 2]


def test_a_slow_or_raising_observer_delays_and_changes_nothing_and_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release, dropped, told = threading.Event(), list[int](), list[int]()

    def block(forecast: Forecast) -> None:
        release.wait(30)

    def count_dropped(count: int) -> None:
        dropped.append(count)

    def fail(forecast: Forecast) -> None:
        raise ValueError("out of paper")

    plain = asyncio.run(ask(make_service(tmp_path))).body
    service = make_service(
        tmp_path,
        make_plugin("slow", forecasts_served=block, forecasts_dropped=count_dropped),
        make_plugin("bad", forecasts_served=fail),
        make_plugin("good", forecasts_served=lambda forecast: told.append(len(forecast.status))),
        observers={"queue": 5},
    )

    async def run() -> float:
        service.start()
        start = perf_counter()
        for number in range(20):
            answer = await ask(service)
            assert answer.body == plain
            await asyncio.to_thread(wait_for, lambda number=number: len(told) == number + 1)
        seconds = perf_counter() - start
        release.set()
        await service.close()
        return seconds

    assert asyncio.run(run()) < 20
    assert metric(service, "slow", "dropped") == sum(dropped) == 2 * (20 - 5)
    assert metric(service, "slow", "told") == 2 * 5
    assert metric(service, "bad", "failed") == 2 * 20
    assert told == [2] * 20
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("plugin slow is too slow: forecasts do not reach it") == 1
    assert messages.count("plugin bad: forecasts_served failed") == 1
    assert "out of paper" in caplog.text


def test_a_large_answer_takes_its_room_and_an_empty_queue_takes_any(tmp_path: Path) -> None:
    release, told = threading.Event(), list[int]()

    def served(forecast: Forecast) -> None:
        release.wait(30)
        told.append(len(forecast.status))

    service = make_service(
        tmp_path, make_plugin("slow", forecasts_served=served), observers={"queue": 2}
    )
    large = orjson.dumps({"rows": [make_row(airport=f"A{i}") for i in range(500)]})

    async def run() -> None:
        service.start()
        await ask(service, large)
        await ask(service)
        release.set()
        await asyncio.to_thread(wait_for, lambda: told == [500])
        await asyncio.to_thread(wait_for, lambda: not service.observers._followers[0]._events)
        await ask(service)
        await service.close()

    asyncio.run(run())
    assert told == [500, 2]
    assert metric(service, "slow", "dropped") == 2


def test_a_request_that_an_arm_cannot_answer_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[tuple[str, int, str]] = []
    plugin = make_plugin(
        "follower",
        forecasts_failed=lambda arm, request, error: failures.append(
            (arm.name, request.forecasts, str(error))
        ),
    )
    service = make_service(tmp_path, plugin)

    async def broken(_: Context) -> Forecast:
        raise RuntimeError("no model")

    monkeypatch.setattr(type(service.arms.table.primary.pipeline), "answer", lambda *_: broken(_))

    async def run() -> None:
        service.start()
        with pytest.raises(RuntimeError):
            await ask(service)
        await service.close()

    asyncio.run(run())
    assert failures == [("production", 2, "no model")]


def test_what_was_collected_can_be_written_while_nothing_is_served(tmp_path: Path) -> None:
    flushed = threading.Event()

    def flush_due() -> None:
        flushed.set()

    service = make_service(tmp_path, make_plugin("writer", flush_due=flush_due))
    serve(service, during=lambda: flushed.wait(30))
    assert flushed.is_set()


def test_a_hook_of_serving_that_is_wrapped_is_refused(tmp_path: Path) -> None:
    @hookimpl(wrapper=True)
    def forecasts_served() -> Any:
        yield

    plugin = SimpleNamespace(__name__="wrapping", forecasts_served=forecasts_served)
    with pytest.raises(FrameworkError, match=r"wrapping: the hook 'forecasts_served' of serving"):
        make_service(tmp_path, plugin)


def test_a_plugin_that_has_the_name_of_the_servers_own_observer_is_refused(tmp_path: Path) -> None:
    plugin = make_plugin("ledger", flush_due=lambda: None)
    deployment = make_deployment(tmp_path, extra=[plugin], ledger={})
    with pytest.raises(FrameworkError, match=r"^plugin ledger: an observer of the server's own"):
        Service(deployment, ServingOptions())


def test_nobody_who_follows_costs_nothing(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    service.observers.start(service.deployment)
    assert not service.observers
    assert not [thread for thread in threading.enumerate() if "observer" in thread.name]
