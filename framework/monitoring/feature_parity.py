"""The parity audit: what serving reads of an entity, held against what training reads of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from framework.data.arrays import Objects, Times
from framework.data.context import Context
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.vocabulary import OK, STALE
from framework.retrieval.features import Features


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not the same on both sides, None for null. ``feature``: its name and how many
    steps before ``origin``, or ``row``.
    """

    entity: dict[str, str]
    origin: str
    feature: str
    offline: float | str | None
    online: float | str | None

    def __str__(self) -> str:
        return (
            f"{self.entity} at {self.origin}: {self.feature} is {self.offline} offline, "
            f"{self.online} online"
        )


def audit(features: Features, panel: Panel, sample: int, seed: int) -> tuple[int, list[Difference]]:
    """Count the compared entities and list every difference, for ``sample`` entities drawn by
    ``seed`` (all when there are fewer). ``panel``: the rows that training reads. Closes the
    strategy.

    Each is asked for at its newest offline step through the strategy's ``context``, as a server
    does, with as many steps as the strategy gives and all the drawn entities have. Numbers are
    equal bit for bit or both null; a row differs when no answer is given for that step. A view that
    is too old for its ttl is null offline and ``stale`` online: that is the same. Columns known in
    advance are compared at the steps after it; null offline and ``missing_feature`` online is the
    same.
    """
    limit = features.strategy.max_context_length
    rng = np.random.default_rng(seed)
    drawn = np.sort(
        rng.choice(len(panel.entities), min(sample, len(panel.entities)), replace=False)
    )
    lengths = np.diff(panel.offsets)[drawn]
    schema = _schema(features, panel, min(limit or 1, int(lengths.min())))
    entities, newest = panel.entities[drawn], panel.times[panel.offsets[1:][drawn] - 1]
    differences: list[Difference] = []
    answers = asyncio.run(_online(features, schema, entities, newest))
    for moment, context in answers:
        of_moment = entities[newest == moment]
        offline = panel.context(schema, of_moment, moment)
        for j in range(len(of_moment)):
            differences += _compare(features, schema, offline, context, j)
    if not panel.known_names:
        return len(drawn), differences
    steps_ahead = features.config.panel.horizon
    schema = schema.model_copy(update={"known": panel.known_names, "horizon": steps_ahead})
    with_known = asyncio.run(_online(features, schema, entities, newest))
    for (moment, before), (_, context) in zip(answers, with_known, strict=True):
        offline = panel.context(schema, entities[newest == moment], moment)
        for j in (j for j, status in enumerate(before.status) if status == OK):
            differences += _compare_known(schema, offline, context, j)
    return len(drawn), differences


def _schema(features: Features, panel: Panel, length: int) -> Schema:
    """Every column of the panel, each of which may be null."""
    return Schema(
        name=features.config.name,
        entity_keys=panel.entity_keys,
        frequency=panel.frequency.alias,
        targets=features.config.panel.targets,
        past=panel.past_names,
        nullable=(*panel.past_names, *panel.static_names),
        known=(),
        static=panel.static_names,
        horizon=1,
        context_length=length,
        quantiles=(),
    )


async def _online(
    features: Features, schema: Schema, entities: Objects, newest: Times
) -> list[tuple[np.datetime64, Context]]:
    """One question for each moment, of the entities whose newest step it is, in order."""
    answers = []
    try:
        for moment in np.unique(newest):
            at: datetime = moment.item().replace(tzinfo=UTC)
            requests = [
                dict(zip(schema.entity_keys, map(str, entity), strict=True))
                for entity in entities[newest == moment]
            ]
            answers.append((moment, await features.context(schema, requests, at)))
    finally:
        await features.strategy.close()
    return answers


def _compare(
    features: Features, schema: Schema, offline: Context, online: Context, j: int
) -> list[Difference]:
    entity, origin = (
        dict(zip(schema.entity_keys, map(str, offline.static[j]), strict=False)),
        str(offline.origins[j]),
    )
    if online.status[j] == STALE and _null_where_stale(features, schema, offline, online, j):
        return []
    if online.status[j] != OK:
        return [Difference(entity, origin, "row", OK, f"{online.status[j]} ({online.detail[j]})")]
    offline_rows, online_rows = offline.past[j], online.past[j]
    differs = (offline_rows.view(np.int64) != online_rows.view(np.int64)) & ~(
        np.isnan(offline_rows) & np.isnan(online_rows)
    )
    differences = []
    for step, c in zip(*np.nonzero(differs), strict=True):
        back = schema.context_length - 1 - int(step)
        name = f"{schema.past[c]} {back} steps before" if back else schema.past[c]
        differences.append(
            Difference(
                entity, origin, name, _plain(offline_rows[step, c]), _plain(online_rows[step, c])
            )
        )
    texts = zip(schema.static, offline.static[j], online.static[j], strict=True)
    return differences + [
        Difference(entity, origin, name, one, other) for name, one, other in texts if one != other
    ]


def _compare_known(schema: Schema, offline: Context, online: Context, j: int) -> list[Difference]:
    """The steps ahead of a window that is answered without them."""
    entity = dict(zip(schema.entity_keys, map(str, offline.static[j]), strict=False))
    origin, offline_rows, online_rows = str(offline.origins[j]), offline.known[j], online.known[j]
    if online.status[j] != OK:
        if np.isnan(offline_rows).any():
            return []
        return [
            Difference(
                entity, origin, "steps ahead", OK, f"{online.status[j]} ({online.detail[j]})"
            )
        ]
    differs = (offline_rows.view(np.int64) != online_rows.view(np.int64)) & ~(
        np.isnan(offline_rows) & np.isnan(online_rows)
    )
    return [
        Difference(
            entity,
            origin,
            f"{schema.known[k]} {int(h) + 1} steps ahead",
            _plain(offline_rows[h, k]),
            _plain(online_rows[h, k]),
        )
        for h, k in zip(*np.nonzero(differs), strict=True)
    ]


def _null_where_stale(
    features: Features, schema: Schema, offline: Context, online: Context, j: int
) -> bool:
    views = features.config.features.views
    stale = (
        []
        if online.freshness is None
        else [name for name, old in online.freshness.stale.items() if old[j]]
    )
    columns = [
        schema.past.index(c)
        for name in stale
        for c in views[name].feature_names()
        if c in schema.past
    ]
    return bool(columns) and bool(np.isnan(offline.past[j, -1, columns]).all())


def _plain(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
