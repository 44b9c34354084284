"""Other protocols on the one pipeline: a dialect turns its body into one of ``POST /predict``, and
the forecasts into its answer.

What is in between is the same as for our own clients: validation, limits, keys, arms, shadows,
records, metrics.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from framework.data.forecast import Forecast
from framework.data.vocabulary import OK
from framework.serving.answers import PREDICT, Answers, Part, Written
from framework.serving.http.asgi import JSON_TYPE, Answer, Call, Handler
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Columns
from framework.serving.pipeline.pipeline import INLINE_BYTES


@dataclass(frozen=True, slots=True)
class Translation:
    """``body``: of ``POST /predict``, or its columns. ``where``: what a path in it is called in the
    client's body. ``write``: the answer.
    """

    body: bytes | Columns
    where: Callable[[str], str]
    write: Callable[[Sequence[Part]], Written]


class Dialect(ABC):
    """One protocol. ``accepts``: content types, empty for none given."""

    accepts: ClassVar[frozenset[bytes]] = frozenset({JSON_TYPE})

    @abstractmethod
    def translate(self, body: bytes, call: Call) -> Translation:
        """Translate a request.

        Args:
            body: of the client's request.
            call: the request's path, query and headers.

        Returns:
            The same request as a body of ``POST /predict``, and how to write the answer.

        Raises:
            Refusal: the request is wrong; its path is one in the client's body.
        """

    def refusal(self, refusal: Refusal) -> Refusal:
        """Give a refusal the shape that the protocol's clients expect.

        Args:
            refusal: with a path in the client's body.

        Returns:
            The refusal that is answered; the same one by default.
        """
        return refusal


def speak(dialect: Dialect, answers: Answers) -> Handler:
    """Make the handler of a route in a dialect; shadows are asked the translation.

    Args:
        dialect: the protocol.
        answers: of the server.

    Returns:
        A handler of bodies.

    Raises:
        Refusal: from the handler, with a path in the client's body.
    """

    async def handler(body: bytes, call: Call) -> Answer:
        large = len(body) > INLINE_BYTES
        translation = (
            await asyncio.to_thread(dialect.translate, body, call)
            if large
            else dialect.translate(body, call)
        )
        try:
            answer = await answers.payload(translation.body, call, translation.write)
        except Refusal as refusal:
            path = None if refusal.path is None else translation.where(refusal.path)
            raise Refusal(
                refusal.status, refusal.message, path, refusal.retry_after, refusal.headers
            ) from None
        answer.asked = (PREDICT, translation.body)
        return answer

    return handler


def together(parts: Sequence[Part]) -> Forecast:
    """Join the parts of an answer.

    Args:
        parts: each arm's, with the positions of its entities in the request.

    Returns:
        One forecast in the order of the request, NaN where there is none.

    Raises:
        Refusal: the arms answer different things.
    """
    forecast = parts[0][2] if len(parts) == 1 else _joined(parts)
    absent = np.array([status != OK for status in forecast.status])
    if absent.any():
        forecast.values[absent] = np.nan
        for ends in forecast.intervals.values():
            ends[absent] = np.nan
    return forecast


def _joined(parts: Sequence[Part]) -> Forecast:
    forecasts = [forecast for _, _, forecast in parts]
    first = forecasts[0]
    for arm, _, other in parts[1:]:
        if (other.targets, other.quantiles, set(other.intervals)) != (
            first.targets,
            first.quantiles,
            set(first.intervals),
        ):
            raise Refusal(
                422,
                f"these entities belong to different arms, and '{arm.name}' answers other "
                "quantiles; send them one by one",
            )
    order = np.argsort(np.concatenate([index for _, index, _ in parts]))

    def words(lists: Sequence[list[Any]]) -> list[Any]:
        merged_words = [word for words in lists for word in words]
        return [merged_words[i] for i in order]

    return replace(
        first,
        origins=np.concatenate([f.origins for f in forecasts])[order],
        times=np.concatenate([f.times for f in forecasts])[order],
        entities=np.concatenate([f.entities for f in forecasts])[order],
        values=np.concatenate([f.values for f in forecasts])[order],
        status=words([f.status for f in forecasts]),
        detail=words([f.detail for f in forecasts]),
        intervals={
            level: np.concatenate([f.intervals[level] for f in forecasts])[order]
            for level in first.intervals
        },
    )
