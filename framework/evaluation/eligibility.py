"""The series and columns that take part: series too short to learn from, covariates that a model
cannot use.

Each case has a declared policy (:class:`framework.config.sections.PanelConfig`) and is named in the
result; nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from framework.config.sections import ShortPolicy
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.errors import ConfigError, DataError
from framework.evaluation.result import BacktestResult
from framework.interfaces.model import COVARIATES, Model

#: Names in a message and in a result; counts are always of all.
SPOKEN, LISTED = 5, 100
#: A change of fewer distances between neighbouring 32-bit numbers than this is lost among them.
FINEST = 4

Key = tuple[str, ...]


def take_part(
    panel: Panel, schema: Schema, policy: ShortPolicy, validation_steps: int
) -> tuple[Panel, Eligibility]:
    """The panel that a pair of ``schema`` learns from and is judged on, and what was done with
    which series, by ``panel.short``.

    Raises :class:`DataError` naming short series and their lengths when the policy is to refuse
    them.
    """
    short = _short(panel, schema, validation_steps)
    series = Eligibility(
        panel.entity_keys, len(panel.entities), short, schema.needed_steps + 1, policy
    )
    if series.short and policy == "refuse":
        raise DataError(series.refusal(validation_steps))
    if not series.short or policy == "keep":
        return panel, series
    if len(series.short) == series.count:
        raise DataError(
            f"panel.short=drop leaves none of the {series.count} series: {series.spoken()}, "
            f"{series.needed} steps are needed."
        )
    return panel.without(series.short), series


def _short(panel: Panel, schema: Schema, validation_steps: int) -> dict[Key, int]:
    """Series without a single training window, and the steps that each has to learn from: those
    before the last ``validation_steps`` of the panel. A training window is the steps that a
    forecast needs and one after them.
    """
    boundary = panel.frequency.shift(np.array([panel.times.max()]), -validation_steps)[0]
    steps = np.add.reduceat(panel.times <= boundary, panel.offsets[:-1], dtype=np.int64)
    return {
        tuple(panel.entities[i]): int(steps[i])
        for i in np.flatnonzero(steps < schema.needed_steps + 1)
    }


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The treatment of the series of a panel. ``count``: of all, ``short``: steps of those too
    short to learn from.
    """

    names: tuple[str, ...]  # the entity keys
    count: int
    short: Mapping[Key, int]
    needed: int
    policy: ShortPolicy

    def spoken(self) -> str:
        """The first of the short series and their lengths."""
        examples = ", ".join(
            f"{_name(self.names, key)} has {steps}"
            for key, steps in sorted(self.short.items())[:SPOKEN]
        )
        return examples + (
            f" and {len(self.short) - SPOKEN} more" if len(self.short) > SPOKEN else ""
        )

    def refusal(self, validation_steps: int) -> str:
        before = f" before the {validation_steps} validation steps" if validation_steps else ""
        return (
            f"panel.short: {len(self.short)} of {self.count} series have fewer than "
            f"{self.needed} steps{before}, too few to learn from: "
            f"{self.spoken()}; panel.short=drop leaves them out, keep has them forecast "
            "once they are long enough."
        )

    def as_dict(self, result: BacktestResult) -> dict[str, Any]:
        """For a run's result. ``no_forecast``: windows without a forecast: too short a history, a
        stale view, a missing feature, as production would say at their origin; ``not_judged``:
        series without any window, for they begin after the last origin or end before the first. At
        most :data:`LISTED` series are named.
        """
        windows = [tuple(entity) for entity in result.entities]
        without = ~np.isfinite(result.forecast[:, 0, 0, 0])
        dropped = len(self.short) if self.policy == "drop" else 0
        return {
            "count": self.count,
            "short": {
                "policy": self.policy,
                "needed": self.needed,
                "dropped": dropped,
                **self._listed(self.short),
            },
            "windows": len(windows),
            "no_forecast": {
                "windows": int(without.sum()),
                **self._listed({windows[i] for i in np.flatnonzero(without)}),
            },
            "not_judged": self.count - dropped - len(set(windows)),
        }

    def _listed(self, keys: Collection[Key]) -> dict[str, Any]:
        """Count some series and list the first of them."""
        entities = [dict(zip(self.names, key, strict=True)) for key in sorted(keys)[:LISTED]]
        return {"count": len(keys), "series": entities}


def _name(names: Sequence[str], key: Key) -> str:
    return "{" + ", ".join(f"{n}: {v}" for n, v in zip(names, key, strict=True)) + "}"


def unused_covariates(schema: Schema, model: Model) -> dict[str, list[str]]:
    """Columns by kind that the model, with its options, does not learn from. The targets and the
    entity keys are no covariates.
    """
    columns = {
        "past": schema.past[len(schema.targets) :],
        "future": schema.known,
        "static": schema.static[len(schema.entity_keys) :],
    }
    return {
        kind: list(columns[kind])
        for kind in COVARIATES
        if columns[kind] and kind not in model.covariates
    }


def check_covariates(
    schema: Schema, model: Model, name: str, policy: Literal["warn", "refuse"]
) -> list[str]:
    """A line for each kind of columns that ``model=name`` leaves out. Raises :class:`ConfigError`
    instead when the policy is to refuse.
    """
    lines = []
    for kind, columns in unused_covariates(schema, model).items():
        names = ", ".join(columns[:SPOKEN]) + (
            f" and {len(columns) - SPOKEN} more" if len(columns) > SPOKEN else ""
        )
        lines.append(
            f"model={name} does not use {kind} covariates: {len(columns)} columns are left "
            f"out, {names}"
        )
    if lines and policy == "refuse":
        raise ConfigError(
            f"panel.unused: {'; '.join(lines)}; choose another model, panel.columns without "
            "them, or panel.unused=warn."
        )
    return lines


def check_resolution(panel: Panel, schema: Schema) -> list[str]:
    """Say for which targets 32-bit numbers, in which features are kept and most models learn, are
    too coarse.

    Returns: One line for each target of which some series typically changes from step to step by
        less than :data:`FINEST` distances between neighbouring 32-bit numbers at its level.
    """
    lines = []
    for t, target in enumerate(schema.targets):
        for piece in panel.pieces():
            line = _coarse(piece, t, target)
            if line is not None:
                lines.append(line)
                break
    return lines


def _coarse(panel: Panel, place: int, target: str) -> str | None:
    """Say which is the first series of a panel of which 32-bit numbers are too coarse."""
    inside = np.ones(len(panel), dtype=bool)
    inside[panel.offsets[:-1]] = False
    values = panel.past[:, place]
    change = np.where(inside, np.abs(np.diff(values, prepend=np.nan)), np.nan)
    distance = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
    is_lost = (change > 0) & (change < FINEST * distance)
    for i, entity in enumerate(panel.entities if is_lost.any() else ()):
        rows = slice(panel.offsets[i], panel.offsets[i + 1])
        some = change[rows][change[rows] > 0]
        known = distance[rows][np.isfinite(distance[rows])]
        if len(some) and np.median(some) < FINEST * np.median(known):
            return (
                f"panel.targets: '{target}' of {_name(panel.entity_keys, tuple(entity))} changes "
                f"by about {np.median(some):.3g} a step, but 32-bit numbers, which features and "
                f"most models have, are {np.median(known):.3g} apart at its level: take a "
                "constant from it in the source"
            )
    return None
