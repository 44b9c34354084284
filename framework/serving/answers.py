"""From the body of a request to the body of its answer: which arm, or which arms, and how their
forecasts come together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs

import numpy as np
import numpy.typing as npt

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.serving.arms.arms import Arm, Arms, ArmTable
from framework.serving.http.asgi import JSON_TYPE, Answer, Call, Handler, Headers
from framework.serving.http.refusal import Refusal
from framework.serving.observers import Feed
from framework.serving.pipeline.columns import Columns
from framework.serving.pipeline.pipeline import INLINE_BYTES, INLINE_WINDOWS
from framework.serving.pipeline.rendering import render_mixed
from framework.serving.pipeline.validation import EntityPeek, Lookup

#: The name under which a request counts whose entities are several arms'.
MIXED = "mixed"
ARM_HEADER = b"x-framework-arm"

#: The route whose body other protocols are translated to.
PREDICT = "/predict"

#: An arm, the positions of its entities in the request, their forecasts.
Part = tuple[Arm, npt.NDArray[np.int64], Forecast]
_ALL = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Written:
    """The body of an answer, its content type and further headers."""

    body: bytes
    content_type: bytes = JSON_TYPE
    headers: Headers = field(default_factory=list)


Write = Callable[[Sequence[Part]], Written]


def write_own(parts: Sequence[Part]) -> Written:
    """Write the answer of ``POST /predict``.

    A single part has all entities, whatever positions it names.
    """
    if len(parts) == 1:
        arm, _, forecast = parts[0]
        return Written(arm.render(forecast))
    return Written(render_mixed([(arm.render, index, forecast) for arm, index, forecast in parts]))


class Answers:
    """The handlers of the routes that forecast. A request takes its table of arms at the start and
    keeps it to the end.

    ``feed`` is told of every arm's forecasts, and of requests that an arm could not answer.
    """

    def __init__(self, arms: Arms, feed: Feed) -> None:
        self._arms, self._feed = arms, feed
        self._peek = EntityPeek(arms.table.primary.schema.entity_keys)
        self.handlers: dict[str, Handler] = {
            PREDICT: self.payload,
            "/predict/feast": self.one,
            "/predict/feast/batch": self.many,
        }

    async def payload(self, body: bytes | Columns, call: Call, write: Write = write_own) -> Answer:
        table = self._arms.table
        requested = requested_arm(table, call)
        arm = requested or self._owner(table, body)
        context = await arm.pipeline.read_payload(body)
        if requested or not table.ranges:
            return await self._answered(arm, context, write)
        keys = len(arm.schema.entity_keys)
        groups = _grouped(table, [tuple(row) for row in context.static[:, :keys]])
        if len(groups) == 1:
            return await self._answered(arm, context, write)
        for other, _ in groups:
            if not other.takes_rows_of(arm):
                columns = f"'{arm.name}' and '{other.name}' take other columns"
                raise Refusal(
                    422,
                    f"these entities belong to different arms, and {columns}; send them one by one",
                    "rows",
                )
        return await _assembled(
            [
                (other, index, await self._forecast(other, context.take(index)))
                for other, index in groups
            ],
            write,
        )

    def _owner(self, table: ArmTable, body: bytes | Columns) -> Arm:
        """The arm of the first entity of a payload; of one that cannot be read, the primary, whose
        validation says why.
        """
        first = self._peek.first(bytes(body)) if table.ranges else None
        return table.primary if first is None else table.of(first)

    async def one(self, body: bytes, call: Call) -> Answer:
        return await self._looked_up(call, body, lambda arm: arm.entities.one)

    async def many(self, body: bytes, call: Call) -> Answer:
        return await self._looked_up(call, body, lambda arm: arm.entities.many)

    async def _looked_up(
        self, call: Call, body: bytes, parse: Callable[[Arm], Callable[[bytes], Lookup]]
    ) -> Answer:
        table = self._arms.table
        requested = requested_arm(table, call)
        read_lookup = parse(requested or table.primary)
        lookup = (
            await asyncio.to_thread(read_lookup, body)
            if len(body) > INLINE_BYTES
            else read_lookup(body)
        )
        if requested or not table.ranges:
            arm = requested or table.primary
            return await self._answered(arm, await arm.pipeline.read_entities(lookup))
        groups = _grouped(table, [tuple(entity.values()) for entity in lookup.entities])

        async def read(arm: Arm, index: npt.NDArray[np.int64]) -> Context:
            return await arm.pipeline.read_entities(
                replace(lookup, entities=[lookup.entities[i] for i in index])
            )

        contexts = await asyncio.gather(*(read(arm, index) for arm, index in groups))
        if len(groups) == 1:
            return await self._answered(groups[0][0], contexts[0])
        parts = zip(groups, contexts, strict=True)
        return await _assembled(
            [(arm, index, await self._forecast(arm, context)) for (arm, index), context in parts]
        )

    async def _answered(self, arm: Arm, context: Context, write: Write = write_own) -> Answer:
        forecast = await self._forecast(arm, context)
        body = await _off_the_loop(len(context), lambda: write([(arm, _ALL, forecast)]))
        return Answer(
            body.body,
            arm.name,
            arm.version.version,
            headers=body.headers,
            content_type=body.content_type,
        )

    async def _forecast(self, arm: Arm, context: Context) -> Forecast:
        try:
            forecast = await arm.pipeline.answer(context)
        except Exception as error:
            self._feed.failed(arm, len(context), error)
            raise
        self._feed.served(arm, forecast, context)
        return forecast


def requested_arm(table: ArmTable, call: Call) -> Arm | None:
    """The arm that a tester names by header or query."""
    header = call.headers.get(ARM_HEADER)
    if header is not None:
        return table.named(header.decode("latin-1"))
    if call.query:
        values = parse_qs(call.query.decode("latin-1")).get("arm")
        if values:
            return table.named(values[-1])
    return None


def _grouped(
    table: ArmTable, entities: Sequence[tuple[str, ...]]
) -> list[tuple[Arm, npt.NDArray[np.int64]]]:
    """Each arm and the positions of its entities."""
    places: dict[str, list[int]] = {}
    for i, entity in enumerate(entities):
        places.setdefault(table.of(entity).name, []).append(i)
    return [(table.arms[name], np.array(index, dtype=np.int64)) for name, index in places.items()]


async def _assembled(parts: Sequence[Part], write: Write = write_own) -> Answer:
    """One answer in the order of the request, each forecast with the pair that it is of."""
    total = sum(len(index) for _, index, _ in parts)
    body = await _off_the_loop(total, lambda: write(parts))
    return Answer(body.body, MIXED, headers=body.headers, content_type=body.content_type)


async def _off_the_loop(windows: int, work: Callable[[], Written]) -> Written:
    """Large answers are written in a thread, so that the event loop stays free."""
    return await asyncio.to_thread(work) if windows > INLINE_WINDOWS else work()
