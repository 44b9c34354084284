"""Checks whether stored rows may describe an origin: ttl, nulls, rows after the origin.

One rule serves every retrieval strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Float64, Rows, Times
from framework.data.context import Context, Freshness, begun
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, STALE
from framework.features.views import FeatureSet, View


def utc_now() -> np.datetime64:
    """Read the clock.

    Returns:
        The time in UTC, ``datetime64[us]``.
    """
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")


def check_context(
    features: FeatureSet,
    schema: Schema,
    context: Context,
    row_times: Mapping[str, Times],
    now: np.datetime64 | None = None,
) -> Context:
    """Judge which windows may be forecast from, and say why of the others.

    A window is ``stale``, unless ``features.stale`` is ``flag``, when the row of a view is older
    than the view's ttl at the origin, or the origin itself older than ``features.max_age`` by the
    clock. It has a ``missing_feature`` when the row is later than the origin, or a value that was
    never null in training is null.

    Args:
        features: The views and their policies.
        schema: What the windows have.
        context: The windows. Only those that are ``ok`` are judged.
        row_times: By view ``[n]``: the time of the row that describes the origin, NaT for none.
        now: The clock (UTC), where the origins are the newest rows and not what a request asked
            for.

    Returns:
        The windows with their freshness and status.
    """
    status, detail = list(context.status), list(context.detail)
    open_ = np.array([word == OK for word in status], dtype=np.bool_)
    freshness = Freshness({}, {})
    # NaN where anything is null: one sum is a tenth of the work
    with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs
        some_null = bool(np.isnan(context.past.sum()))
    in_series = _begun(schema, context)
    for name, view in features.views.items():
        owned = set(view.feature_names())
        if owned.isdisjoint((*schema.past, *schema.static)):
            continue
        times = row_times[name]
        limit = features.max_age if name == features.primary and now is not None else None
        stale = _older(context.origins, times, view.ttl)
        if now is not None and limit is not None:
            stale |= _older(now, context.origins, limit)
        freshness.times[name], freshness.stale[name] = times, stale
        categories = sorted(set(view.categories) & set(schema.static))
        lacking = _null_categories(schema, context, categories)
        columns = [i for i, c in enumerate(schema.past) if c in owned and c not in schema.nullable]
        null: Flags = np.zeros((len(context), len(columns)), dtype=np.bool_)
        if some_null:
            null = np.asarray((np.isnan(context.past[:, :, columns]) & in_series).any(axis=1))
        problem: Flags = np.asarray((times > context.origins) | null.any(axis=1) | (lacking >= 0))
        if categories:
            problem |= np.isnat(times)
        if features.stale == "refuse":
            problem |= stale
        for j in np.flatnonzero(problem & open_).tolist():
            row_problem = _row_problem(
                name,
                view,
                categories,
                context.origins[j],
                times[j],
                bool(stale[j]) and features.stale == "refuse",
                limit,
            )
            if row_problem is None and lacking[j] >= 0:
                row_problem = (
                    MISSING_FEATURE,
                    f"view '{name}': category '{schema.static[lacking[j]]}' is null at the "
                    f"origin {context.origins[j]}",
                )
            status[j], detail[j] = row_problem or _null(
                name, schema, context, columns[int(null[j].argmax())], j
            )
        open_ &= ~problem
    if schema.known:
        null_counts = lacking_steps(schema, context.known)
        for j in np.flatnonzero(open_ & null_counts.any(axis=1)).tolist():
            status[j], detail[j] = (
                MISSING_FEATURE,
                not_known(schema, context.origins[j], null_counts[j]),
            )
    return replace(context, status=status, detail=detail, freshness=freshness)


def lacking_steps(schema: Schema, known: Float64) -> Rows:
    """Count the steps ahead that a column known in advance lacks.

    Args:
        schema: What the windows have.
        known: ``[n, H, K]``, NaN where null.

    Returns:
        ``[n, K]``; 0 for a column that may be null.
    """
    counts: Rows = np.isnan(known).sum(axis=1)
    counts[:, [name in schema.nullable for name in schema.known]] = 0
    return counts


def not_known(schema: Schema, origin: np.datetime64, null_counts: npt.NDArray[np.int64]) -> str:
    """Say which known-in-advance columns lack how many of the steps ahead.

    Args:
        schema: What the windows have.
        origin: The origin (UTC).
        null_counts: ``[K]``: how many steps each column lacks.

    Returns:
        One line, for the detail of a window.
    """
    columns = ", ".join(
        f"'{c}' for {n}" for c, n in zip(schema.known, null_counts.tolist(), strict=True) if n
    )
    return (
        f"known in advance: no value is stored of {columns} of the {schema.horizon} steps after "
        f"the origin {origin}"
    )


def in_force(view: View, row_times: Times, steps: Times) -> Flags:
    """Say which steps get their known-in-advance values from the newest row that is not later.

    Args:
        view: The view that owns the columns.
        row_times: The time of the newest row at or before each step, NaT for none.
        steps: The steps, in a shape that fits.

    Returns:
        True where that row has the label of the step itself, or holds for it by ``View.valid_for``.
        Where it does not, and where the row has a null, the value is missing.
    """
    if view.valid_for is None:
        return np.asarray(row_times == steps)
    return np.asarray(steps - row_times < np.timedelta64(view.valid_for, "us"))


def _null_categories(schema: Schema, context: Context, categories: list[str]) -> Rows:
    """``[n]``: the place of a category that is null and never was in training, -1 for none.

    Where training had nulls, null is a value of its own.
    """
    lacking = np.full(len(context), -1, dtype=np.int64)
    for i in (schema.static.index(name) for name in categories):
        null = np.equal(context.static[:, i], None)  # type: ignore[call-overload]
        lacking[null.astype(bool) & (schema.static[i] not in schema.nullable)] = i
    return lacking


def absent_origin(
    name: str, view: View, at: np.datetime64, row_time: np.datetime64
) -> tuple[str, str]:
    """Say why the primary view has no row at an origin that was asked for.

    Args:
        name: The view's name.
        view: The view.
        at: The origin (UTC).
        row_time: The time of the nearest row (UTC).

    Returns:
        Status and detail of the window.
    """
    if at > row_time and _older(at, row_time, view.ttl):
        return (
            STALE,
            f"view '{name}': the newest row is of {row_time}, older at {at} than its "
            f"ttl of {view.ttl}",
        )
    return (
        MISSING_FEATURE,
        f"view '{name}': no row with an actual at {at}; the store holds {row_time}",
    )


def _begun(schema: Schema, context: Context) -> Flags:
    """``[n, L, 1]``: the steps that are judged, those before the first row of a series left out
    where the pair needs no more.
    """
    if schema.needed_steps == schema.context_length:
        return np.ones((*context.past.shape[:2], 1), dtype=np.bool_)
    return begun(context.past)[:, :, None]


def _older(origins: Times | np.datetime64, times: Times | np.datetime64, limit: timedelta) -> Flags:
    """False where there is no row."""
    return np.asarray((origins - times) > np.timedelta64(limit, "us"))


def _row_problem(
    name: str,
    view: View,
    categories: list[str],
    origin: np.datetime64,
    row_time: np.datetime64,
    stale: bool,
    limit: timedelta | None,
) -> tuple[str, str] | None:
    if np.isnat(row_time):
        return (
            (MISSING_FEATURE, f"view '{name}': no row up to {origin}, so no {categories}")
            if categories
            else None
        )
    if row_time > origin:
        return (
            MISSING_FEATURE,
            f"view '{name}': the store holds {row_time}, which is after the origin {origin}",
        )
    if not stale:
        return None
    if _older(origin, row_time, view.ttl):
        return (
            STALE,
            f"view '{name}': the newest row is of {row_time}, older at the origin {origin} than "
            f"its ttl of {view.ttl}",
        )
    return (
        STALE,
        f"view '{name}': the newest row is of {row_time}, older by the clock than "
        f"features.max_age of {limit}",
    )


def _null(name: str, schema: Schema, context: Context, column: int, j: int) -> tuple[str, str]:
    steps = int((np.isnan(context.past[j, :, column]) & _begun(schema, context)[j, :, 0]).sum())
    where = (
        f"{steps} of {schema.context_length} steps"
        if schema.context_length > 1
        else f"the origin {context.origins[j]}"
    )
    return MISSING_FEATURE, f"view '{name}': feature '{schema.past[column]}' is null at {where}"
