"""The console's routes: the page, and what it asks. Forecasts it asks from ``/predict/feast``, like
any client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from framework.errors import DataError, FrameworkError, one_line
from framework.evaluation.recorded_backtest import earlier_forecasts
from framework.interfaces.serving_extension import ConsolePage, HttpRoute
from framework.monitoring.report import report_path
from framework.serving.arms.arms import Arm
from framework.serving.console.cached_reads import Reader
from framework.serving.console.page import CONTENT_SECURITY_POLICY, page
from framework.serving.console.pairs import Pairs
from framework.serving.console.series import (
    Question,
    actuals,
    all_entities,
    matching,
    read_question,
    store_of,
)
from framework.serving.console.traffic import Traffic
from framework.serving.http.asgi import (
    Answer,
    Answered,
    Call,
    HotRoute,
    JsonRoute,
    Limits,
    refused,
)
from framework.serving.http.bodies import Receive
from framework.serving.http.refusal import Refusal
from framework.serving.service import Service

SERIES = "/console/series"
#: Seconds that what was read is kept: the registry's answers, the entities of the store, the rows
#: of a series.
_PAIRS, _ENTITIES, _SERIES = 3.0, 30.0, 3.0
_MAX_HISTORY, _MAX_ENTITIES = 1000, 1000
#: A version or an alias.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Console:
    """``troubles``: by alias, why it is not served as it should be. ``routes``: those that
    forecast.
    """

    def __init__(
        self, service: Service, troubles: Callable[[], dict[str, str]], routes: Collection[str]
    ) -> None:
        self._service, self._troubles = service, troubles
        self._pairs, self._traffic, self._read = (
            Pairs(service),
            Traffic(service.metrics, routes),
            Reader(),
        )

    def start(self) -> None:
        self._traffic.start()

    def stop(self) -> None:
        self._traffic.stop()
        self._read.close()

    def routes(self, pages: Sequence[ConsolePage]) -> list[HttpRoute]:
        """The page, which has no data in it, and what it reads. ``pages``: to which it links."""

        async def shown(_: Request) -> Response:
            return Response(
                page(pages),
                media_type="text/html",
                headers={"content-security-policy": CONTENT_SECURITY_POLICY},
            )

        return [
            HttpRoute("/", shown, scope=None),
            HttpRoute("/console/pairs", self._shown_pairs, scope="metrics"),
            HttpRoute("/console/monitoring", self._monitoring, scope="admin"),
            HttpRoute("/console/history", self._history, scope="admin"),
            HttpRoute("/console/diff", self._differences, scope="admin"),
            HttpRoute("/console/traffic", self._shown_traffic, scope="metrics"),
            HttpRoute("/console/entities", self._entities, scope="predict"),
        ]

    def hot_routes(self, limits: Limits) -> dict[str, HotRoute]:
        """Make the routes with a body, under the limits of all others; shadows get none."""
        route = JsonRoute(self._series, limits)

        async def alone(call: Call, receive: Receive, _: Answered) -> Answer:
            return await route(call, receive, lambda *_: None)

        return {SERIES: alone}

    async def _shown_pairs(self, _: Request) -> Response:
        return await _answered(lambda: self._read("pairs", _PAIRS, self._pairs.shown))

    async def _monitoring(self, _: Request) -> Response:
        deployment = self._service.deployment
        path = report_path(deployment.state, deployment.name)
        return await _answered(lambda: self._read("monitoring", _PAIRS, lambda: _kept(path)))

    async def _history(self, request: Request) -> Response:
        async def found() -> dict[str, Any]:
            limit = _number(request, "limit", 100, _MAX_HISTORY)
            return await self._read(("history", limit), _PAIRS, lambda: self._pairs.history(limit))

        return await _answered(found)

    async def _differences(self, request: Request) -> Response:
        async def compared() -> dict[str, Any]:
            served = str(self._service.arms.table.primary.version.version)
            reference, against = (
                _reference(request, name, served) for name in ("version", "against")
            )
            return await self._read(
                ("diff", reference, against),
                _PAIRS,
                lambda: self._pairs.differences(reference, against),
            )

        return await _answered(compared)

    async def _shown_traffic(self, _: Request) -> Response:
        async def found() -> dict[str, Any]:
            traffic = await self._read("traffic", 1.0, self._traffic.shown)
            options = self._service.options
            canary = self._service.canary.shown() if options.canary.alias is not None else None
            return {
                **traffic,
                "canary": canary,
                "degraded": self._troubles(),
                "shadowed": list(options.shadow.aliases),
            }

        return await _answered(found)

    async def _entities(self, request: Request) -> Response:
        async def found() -> dict[str, Any]:
            limit, words = (
                _number(request, "limit", 100, _MAX_ENTITIES),
                request.query_params.get("search", "")[:200],
            )
            store_of(self._service.deployment)
            entities = await self._read(
                "entities", _ENTITIES, lambda: all_entities(self._service.deployment)
            )
            return await self._read(
                ("search", words, limit), 1.0, lambda: matching(entities, words, limit)
            )

        return await _answered(found)

    async def _series(self, body: bytes, _: Call) -> Answer:
        table = self._service.arms.table
        question = read_question(body, table.primary.schema)
        arm = (
            table.of(tuple(question.entity.values()))
            if question.arm is None
            else table.named(question.arm)
        )
        store_of(self._service.deployment)
        key = (
            "series",
            arm.version.digest,
            tuple(question.entity.values()),
            question.steps,
            question.at,
        )
        answer = await self._read(key, _SERIES, lambda: self._series_of(arm, question))
        return Answer(orjson.dumps(answer), arm.name, arm.version.version)

    def _series_of(self, arm: Arm, question: Question) -> dict[str, Any]:
        """The actual values, and the forecasts of the arm's backtest; ``note`` says why there are
        none.
        """
        body = {
            "entity": question.entity,
            **actuals(self._service.deployment, arm.schema, question),
        }
        earlier, note = [], None
        try:
            earlier = earlier_forecasts(self._pairs.model(arm.version), arm.schema, question.entity)
        except FrameworkError as error:
            note = str(error)
        return {**body, "backtest": {"pair": arm.stamp, "forecasts": earlier, "note": note}}


def _kept(path: Path) -> dict[str, Any]:
    """``{"report"}``: what the newest ``run=monitor`` found, null when none has run."""
    try:
        return {"report": orjson.loads(path.read_bytes())}
    except FileNotFoundError:
        return {"report": None}
    except (OSError, ValueError) as error:
        raise DataError(f"what run=monitor found cannot be read: {one_line(error)}") from error


def _number(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= largest):
        raise Refusal(422, f"a whole number from 1 to {largest} is expected", name)
    return int(text)


def _reference(request: Request, name: str, default: str) -> str:
    text = request.query_params.get(name, default)
    if not _REFERENCE.fullmatch(text):
        raise Refusal(422, "a version or an alias is expected", name)
    return text


async def _answered(ask: Callable[[], Any]) -> Response:
    try:
        return Response(orjson.dumps(await ask()), media_type="application/json")
    except Refusal as refusal:
        answer = refused(refusal)
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        return Response(answer.body, answer.status, headers, "application/json")
