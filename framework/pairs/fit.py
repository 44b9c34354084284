"""Fits a pair on a panel: one path for every fold of a backtest and for the pair that is
registered.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from framework.data.anchors import find_anchors
from framework.data.arrays import Rows
from framework.data.frequency import Frequency
from framework.data.known_values import known_values
from framework.data.own_columns import own_columns
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.scratch import Pieces, blocks
from framework.data.windows import PanelArrays, WindowSet
from framework.errors import ConfigError, DataError
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.pairs.defects import named, series_text
from framework.pairs.pair import Pair, transform_panel

#: No entity is called so.
NOBODY = "\0"


def fit_preprocessor(panel: Panel, schema: Schema, preprocessor: Preprocessor) -> PanelArrays:
    """Fit on the rows of ``panel`` and transform them."""
    rows = f"{series_text(panel.entities)}, {len(panel):,} rows"
    with named(f"fit on {rows}", preprocessor):
        preprocessor.fit(panel.past, panel.known, np.asarray(panel.static), panel.times, schema)
    if schema.cold:
        _check_cold(preprocessor, panel, schema)
    with named(f"transform {rows}", preprocessor):
        arrays = transform_panel(preprocessor, schema, panel)
    if not schema.cold:
        return arrays
    return replace(arrays, unknown=_unknown_series(preprocessor, panel, schema))


def _unknown_series(preprocessor: Preprocessor, panel: Panel, schema: Schema) -> dict[int, float]:
    """The static features that follow from the entity, by place, as they are of an entity that
    training did not see.
    """
    series = panel.static[panel.offsets[:-1]]
    strangers = series.copy()
    strangers[:, : len(schema.entity_keys)] = NOBODY
    features = preprocessor.static(strangers)
    differs = (preprocessor.static(series) != features).any(axis=0)
    return {int(place): float(features[0, place]) for place in np.flatnonzero(differs)}


def _check_cold(preprocessor: Preprocessor, panel: Panel, schema: Schema) -> None:
    """Raise :class:`ConfigError` where a series without history would look like one that has some:
    the model knows it by its nulls.
    """
    row = panel.past[:1].copy()
    for places in own_columns(schema.targets, schema.past):
        row[:, places] = np.nan
    whose = {"static": panel.static[:1]} if preprocessor.needs_static else {}
    features = preprocessor.past(row, panel.times[:1], **whose)
    for target, places in zip(
        schema.targets, own_columns(schema.targets, preprocessor.past_names), strict=True
    ):
        if not len(places) or not np.isnan(features[:, places]).all():
            raise ConfigError(
                f"panel.cold: the preprocessor fills the nulls of '{target}', or of what is made "
                "of it; leave these columns out of its steps, or set panel.cold=refuse."
            )


def fit_model(
    arrays: PanelArrays, schema: Schema, model: Model, validation_steps: int, seed: int
) -> None:
    """Fit on windows of ``arrays``; the last ``validation_steps`` steps are the targets of the
    validation windows.

    Training windows know no target of the validation windows. Raises :class:`DataError` when there
    is no training window.
    """
    last = arrays.times.max()
    boundary = Frequency.parse(schema.frequency).shift(np.array([last]), -validation_steps)[0]
    train = _windows(arrays.until(boundary) if validation_steps else arrays, schema, None)
    if not len(train):
        raise DataError(
            f"no training window: {schema.needed_steps} past steps, 1 step ahead and "
            f"{validation_steps} validation steps "
            f"do not fit in {arrays.times.min()} to {last}; lower validation.steps, backtest.folds "
            "or the model's option of its past steps."
        )
    validation = _windows(arrays, schema, boundary) if validation_steps else None
    if validation is not None and not len(validation):
        validation = None

    def attempt(series: Rows) -> None:
        fewer = _windows(train.arrays.of_series(series), schema, None)
        if len(fewer):
            type(model)(model.options).fit(fewer, None, schema, seed)

    with named(
        f"fit on {series_text(arrays.entities)}, {len(train):,} windows",
        model,
        *model.parts,
        entities=train.arrays.entities,
        attempt=attempt,
    ):
        model.fit(train, validation, schema, seed)


def fit_pair(
    panel: Panel,
    schema: Schema,
    preprocessor: Preprocessor,
    model: Model,
    validation_steps: int,
    seed: int,
) -> Pair:
    """Fit both halves on the rows of ``panel`` and nothing else. The schema of the pair says which
    categories and grids these have.
    """
    fit_model(fit_preprocessor(panel, schema, preprocessor), schema, model, validation_steps, seed)
    anchors = find_anchors(panel.frequency, panel.times[panel.offsets[:-1]])
    schema = schema.model_copy(update={"categories": known_values(panel), "anchors": anchors})
    return Pair(schema, preprocessor, model)


def _windows(arrays: PanelArrays, schema: Schema, first: np.datetime64 | None) -> WindowSet:
    """The windows with enough history and at least one target step; with ``first``, only origins
    from there on. They are shorter where no series is long enough and the model bears it.
    """
    longest = int(np.diff(arrays.offsets).max(initial=0)) - 1  # one step is the target's
    length = max(schema.needed_steps, min(schema.context_length, longest))
    begins, counts = arrays.offsets[:-1] + length - 1, np.diff(arrays.offsets) - length
    origins = Pieces(arrays.scratch)
    origins.add(np.zeros(0, np.int64))
    edges = np.searchsorted(arrays.offsets, [rows.start for rows in blocks(len(arrays.times))])
    for start, stop in pairwise(np.unique([*edges.tolist(), len(counts)]).tolist()):
        count = np.maximum(counts[start:stop], 0)
        before = np.cumsum(count) - count  # origins of the series before
        rows = np.repeat(begins[start:stop] - before, count) + np.arange(count.sum())
        origins.add(rows if first is None else rows[arrays.times[rows] >= first])
    return WindowSet(arrays, origins.whole(), length, schema.horizon)
