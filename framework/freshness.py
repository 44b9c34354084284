"""Whether what a store holds may describe an origin: ttl, nulls, rows after the origin. One rule for every retrieval strategy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from framework.interfaces.values import MISSING_FEATURE, OK, STALE, Context, Schema, Times
from framework.interfaces.views import FeatureSet, View


def check_context(features: FeatureSet, schema: Schema, context: Context, held: Mapping[str, Times]) -> Context:
    """``context`` with the status of each ``ok`` window that must not be forecast from, and why.

    ``held[view][n]``: the time of the row each view describes the origin with, NaT for none. ``stale``: that row is older than the
    view's ttl. ``missing_feature``: it is later than the origin, or a value that was never null in training is null.
    """
    status, detail = list(context.status), list(context.detail)
    for name, view in features.views.items():
        owned = set(view.feature_names())
        if owned.isdisjoint((*schema.past, *schema.static)):
            continue
        needed = [i for i, c in enumerate(schema.past) if c in owned and c not in schema.nullable]
        null = np.isnan(context.past[:, :, needed]).sum(axis=1) > 0  # [n, needed]
        for j in (j for j, s in enumerate(status) if s == OK):
            found = _row_problem(name, view, schema, context.origins[j], held[name][j])
            if found is None and null[j].any():
                found = _null(name, schema, context, needed[int(null[j].argmax())], j)
            if found is not None:
                status[j], detail[j] = found
    for j in (j for j, s in enumerate(status) if s == OK):
        gone = [c for i, c in enumerate(schema.known) if np.isnan(context.known[j, :, i]).any()]
        if gone:
            status[j], detail[j] = (
                MISSING_FEATURE,
                f"known-in-advance columns {gone} are not stored for the {schema.horizon} steps after the origin",
            )
    return Context(context.origins, context.past, context.known, context.static, status, detail)


def absent_origin(name: str, view: View, at: np.datetime64, held: np.datetime64) -> tuple[str, str]:
    """Status and detail of a window asked for ``at`` when the primary view's nearest row is ``held``."""
    if at > held and _age(at, held) > _ttl(view):
        return STALE, f"view '{name}': the newest row is of {held}, older at {at} than its ttl of {view.ttl}"
    return MISSING_FEATURE, f"view '{name}': no row at {at}; the store holds {held}"


def _age(origin: np.datetime64, held: np.datetime64) -> np.timedelta64:
    return np.timedelta64(origin - held, "us")


def _ttl(view: View) -> np.timedelta64:
    return np.timedelta64(view.ttl, "us")


def _row_problem(name: str, view: View, schema: Schema, origin: np.datetime64, held: np.datetime64) -> tuple[str, str] | None:
    if np.isnat(held):
        categories = sorted(set(view.categories) & set(schema.static))
        return (MISSING_FEATURE, f"view '{name}': no row up to {origin}, so no {categories}") if categories else None
    if held > origin:
        return MISSING_FEATURE, f"view '{name}': the store holds {held}, which is after the origin {origin}"
    if _age(origin, held) > _ttl(view):
        return STALE, f"view '{name}': the newest row is of {held}, older at the origin {origin} than its ttl of {view.ttl}"
    return None


def _null(name: str, schema: Schema, context: Context, column: int, j: int) -> tuple[str, str]:
    steps = int(np.isnan(context.past[j, :, column]).sum())
    where = f"{steps} of {schema.context_length} steps" if schema.context_length > 1 else f"the origin {context.origins[j]}"
    return MISSING_FEATURE, f"view '{name}': feature '{schema.past[column]}' is null at {where}"
