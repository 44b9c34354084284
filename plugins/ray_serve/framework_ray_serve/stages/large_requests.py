"""Large look-ups: each piece goes on to the next services as soon as it is read, while the others
are still being read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.data.context import Context, Freshness
from framework_ray_serve.stages.messages import Predicted


@dataclass(frozen=True, slots=True)
class StartedContext(Context):
    """A context whose pieces, in order, are being forecast already. Its parts, by ``take``, are
    plain ones.

    ``pieces``: the predictions of each piece's windows that are ``ok``.
    """

    pieces: tuple[asyncio.Task[Predicted], ...] = ()


def join_pieces(
    contexts: Sequence[Context], pieces: Sequence[asyncio.Task[Predicted]]
) -> StartedContext:
    """The contexts of a request's pieces as one."""
    first = contexts[0]
    arrays = {
        name: np.concatenate([getattr(context, name) for context in contexts])
        for name in ("origins", "past", "known", "static")
    }
    texts = {
        name: [text for context in contexts for text in getattr(context, name)]
        for name in ("status", "detail")
    }
    unseen = sum((Counter(context.unseen) for context in contexts), Counter[str]())
    return StartedContext(
        **arrays,
        **texts,
        levels=first.levels,
        freshness=_joined(contexts),
        horizon=first.horizon,
        unseen=dict(unseen),
        pieces=tuple(pieces),
    )


def _joined(contexts: Sequence[Context]) -> Freshness | None:
    parts = [context.freshness for context in contexts if context.freshness is not None]
    if len(parts) < len(contexts):
        return None

    def of(part: str) -> dict[str, Any]:
        return {
            view: np.concatenate([getattr(freshness, part)[view] for freshness in parts])
            for view in getattr(parts[0], part)
        }

    return Freshness(of("times"), of("stale"))


def put_together(pieces: Sequence[Predicted]) -> Predicted:
    """The predictions of a request's pieces, in order."""
    if len(pieces) == 1:
        return pieces[0]
    starts = np.cumsum([0, *(len(piece) for piece in pieces)]).tolist()
    failed = {
        start + i: why
        for start, piece in zip(starts, pieces, strict=False)
        for i, why in piece.failed.items()
    }
    stages = {stage for piece in pieces for stage in piece.seconds}
    seconds = {stage: sum(piece.seconds.get(stage, 0.0) for piece in pieces) for stage in stages}
    return Predicted(
        np.concatenate([piece.values for piece in pieces if piece.values is not None]),
        seconds,
        failed,
    )
