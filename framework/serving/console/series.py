"""Entities of the store, and what came of one of them: the actual values that a forecast is drawn
beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta, Struct

from framework.data.arrays import Times
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.time import format_times
from framework.data.vocabulary import TIME
from framework.errors import FrameworkError
from framework.interfaces.retrieval import RetrievalStrategy
from framework.serving.deployment import Deployment
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.decoding import Decoder
from framework.serving.pipeline.request_types import Key, When
from framework.serving.pipeline.validation import read_keys, read_origin

#: Steps of history in one answer at most.
MAX_STEPS = 2000
#: The column beside the keys; a key cannot be named so.
_SEARCHED = "\0text"


class SeriesRequest(Struct, forbid_unknown_fields=True):
    entity: Annotated[
        dict[str, Key], Meta(extra_json_schema={"$ref": "#/components/schemas/Entity"})
    ]
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] = 60
    at: Annotated[When | None, Meta(description="The origin; null: the newest step")] = None
    arm: Annotated[str | None, Meta(description="Whose backtest; null: the arm of the entity")] = (
        None
    )


@dataclass(frozen=True, slots=True)
class Question:
    """``at``: the origin, UTC; None: each series' newest step. ``arm``: whose backtest is shown,
    None for the entity's own.
    """

    entity: dict[str, str]
    steps: int
    at: datetime | None
    arm: str | None


_decode = Decoder(SeriesRequest)


def read_question(body: bytes, schema: Schema) -> Question:
    """Raises :class:`Refusal` 400 or 422 with the path."""
    request: SeriesRequest = _decode(body)
    for key in schema.entity_keys:
        if key not in request.entity:
            raise Refusal(422, "a value is required", f"entity.{key}")
    for key in request.entity:
        if key not in schema.entity_keys:
            raise Refusal(422, "unknown field", f"entity.{key[:100]}")
    at = None if request.at is None else read_origin(request.at, schema)
    keys = schema.entity_keys
    entity = read_keys([request.entity[key] for key in keys], keys, "entity")
    return Question(dict(zip(keys, entity, strict=True)), request.steps, at, request.arm)


def store_of(deployment: Deployment) -> RetrievalStrategy:
    """Raises :class:`Refusal` 409 when there is none."""
    if deployment.strategy is None:
        reason = (
            f"this server has no feature store (retrieval={deployment.retrieval}): it knows "
            "neither entities nor actual values"
        )
        raise Refusal(409, reason)
    return deployment.strategy


def all_entities(deployment: Deployment) -> pa.Table:
    """The keys of every entity with stored rows, sorted, and ``text``, which a search looks into;
    arrays, for there may be a million.
    """
    keys = list(deployment.features.entity_keys)
    entities = store_of(deployment).entities(deployment.features)
    columns = {key: pa.array(entities[key].astype(str), pa.string()) for key in keys}
    texts = (
        pc.utf8_lower(pc.binary_join_element_wise(*columns.values(), " "))
        if keys
        else pa.array([""] * len(entities), pa.string())
    )
    return pa.table({**columns, _SEARCHED: texts})


def matching(entities: pa.Table, words: str, limit: int) -> dict[str, Any]:
    """``{"total", "matching", "entities"}``: those in which every word of ``words`` is found; the
    first ``limit`` of them.
    """
    matches = entities
    for word in words.lower().split():
        matches = matches.filter(pc.match_substring(matches[_SEARCHED], word))
    rows = [
        {key: row[key] for key in row if key != _SEARCHED}
        for row in matches.slice(0, limit).to_pylist()
    ]
    return {"total": len(entities), "matching": len(matches), "entities": rows}


def actuals(deployment: Deployment, schema: Schema, question: Question) -> dict[str, Any]:
    """``{"frequency", "times", "targets": {target: [number or null]}, "newest"}``: ``steps`` steps
    to the origin, and what came after it.

    As many steps after an origin that was asked for as the horizon has. A step without a row is
    null; ``newest`` is the last step that has one, null when there are no rows.
    """
    features = deployment.features
    keys = list(features.entity_keys)
    one = pd.DataFrame([question.entity], columns=keys)
    rows = store_of(deployment).stored_rows(features, features.primary, one)
    rows = rows.drop_duplicates([*keys, TIME], keep="last")  # sorted by version: the newest one
    lacking = [target for target in schema.targets if target not in rows.columns]
    if lacking:
        raise FrameworkError(
            f"the store has no column {lacking}; serve the pair with the experiment that "
            "trained it."
        )
    empty: dict[str, Any] = {
        "frequency": schema.frequency,
        "times": [],
        "targets": {t: [] for t in schema.targets},
        "newest": None,
    }
    if rows.empty:
        return empty
    times = pd.DatetimeIndex(rows[TIME]).tz_convert(None).to_numpy().astype("M8[us]")
    origin = (
        times.max()
        if question.at is None
        else np.datetime64(question.at.replace(tzinfo=None), "us")
    )
    steps = _steps(
        Frequency.parse(schema.frequency),
        origin,
        question.steps,
        0 if question.at is None else schema.horizon,
    )
    steps = steps[(steps >= times.min()) & (steps <= times.max())]
    place = np.minimum(np.searchsorted(times, steps), len(times) - 1)
    known = times[place] == steps
    targets = {}
    for target in schema.targets:
        values = np.where(known, rows[target].to_numpy(dtype=np.float64)[place], np.nan)
        targets[target] = [None if np.isnan(value) else value for value in values.tolist()]
    (newest,) = format_times(times[-1:])
    return {**empty, "times": format_times(steps), "targets": targets, "newest": newest}


def _steps(frequency: Frequency, origin: np.datetime64, before: int, after: int) -> Times:
    return frequency.shift(np.array([origin]), np.arange(1 - before, after + 1)).ravel()
