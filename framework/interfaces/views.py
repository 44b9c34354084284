"""Feature views: what is kept in the feature store and how it is made. Declared once, in the ``features`` config group."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from framework.interfaces.options import Options
from framework.interfaces.values import TIME

Statistic = Literal["mean", "std", "min", "max", "sum"]
#: What is done about a step that a series lacks: nothing goes on, or a row of nulls takes its place.
GapPolicy = Literal["refuse", "insert"]


class Lag(Options):
    """``{column}_lag_{k}``: the column's value ``k`` steps before the row's step."""

    op: Literal["lag"]
    columns: tuple[str, ...]
    steps: tuple[Annotated[int, Field(ge=1)], ...]

    def names(self) -> tuple[str, ...]:
        return tuple(f"{c}_lag_{k}" for c in self.columns for k in self.steps)


class Rolling(Options):
    """``{column}_rolling_{w}_{statistic}`` over the ``w`` steps that end with the row's own step; nulls are left out."""

    op: Literal["rolling"]
    columns: tuple[str, ...]
    windows: tuple[Annotated[int, Field(ge=2)], ...]
    statistics: tuple[Statistic, ...] = ("mean",)

    def names(self) -> tuple[str, ...]:
        return tuple(f"{c}_rolling_{w}_{s}" for c in self.columns for w in self.windows for s in self.statistics)


class Calendar(Options):
    """``calendar_{field}`` of the row's own step, from :func:`framework.calendar.calendar_columns`."""

    op: Literal["calendar"]
    fields: tuple[str, ...]
    country: str | None = None
    time_zone: str = "UTC"

    def names(self) -> tuple[str, ...]:
        return tuple(f"calendar_{f}" for f in self.fields)


Operation = Annotated[Lag | Rolling | Calendar, Field(discriminator="op")]


class View(Options):
    """One feature view.

    ``entity``: its keys. ``columns``: what the source gives, in its table named like the view (``table`` overrides).
    A text column is a category, every other one a number. ``engineer``: columns computed at ingestion, in order.
    ``ttl``: how old a row may be to still describe an origin. A row's ``event_timestamp`` is the UTC start of its
    step; the row is known when the step has ended, hence usable at the origin of the same label. ``created``: the source's
    column that says when (UTC) a row became known; rows of equal key and time are then versions, all kept, the newest one read.
    """

    entity: tuple[str, ...]
    columns: tuple[str, ...]
    table: str | None = None
    categories: tuple[str, ...] = ()
    ttl: timedelta
    engineer: tuple[Operation, ...] = ()
    created: str | None = None

    @field_validator("ttl")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("ttl must be positive, such as 3d or P3D")
        return value

    @model_validator(mode="after")
    def _created_is_its_own_column(self) -> View:
        if self.created in {TIME, *self.entity, *self.feature_names()}:
            raise ValueError(
                f"created: '{self.created}' is a key, a feature or the event time; name the column that says when a row became known"
            )
        return self

    def identity(self) -> tuple[str, ...]:
        """The columns that tell stored rows apart: keys, ``event_timestamp``, and the created column of a view that has one."""
        return (*self.entity, TIME) if self.created is None else (*self.entity, TIME, self.created)

    def feature_names(self) -> tuple[str, ...]:
        """Every column of the view beside its identity, in the order they are stored."""
        return self.columns + tuple(name for op in self.engineer for name in op.names())


class FeatureSet(Options):
    """The views of an experiment. ``primary`` is the view whose rows are the steps of the series; it holds the targets."""

    primary: str
    views: dict[str, View]

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSet:
        if self.primary not in self.views:
            raise ValueError(f"primary '{self.primary}' is not one of the views {sorted(self.views)}")
        keys = set(self.views[self.primary].entity)
        owner: dict[str, str] = {}
        for name, view in self.views.items():
            if not set(view.entity) <= keys:
                raise ValueError(f"view '{name}' has entity keys {list(view.entity)} that the primary view lacks")
            for feature in view.feature_names():
                if feature in owner:
                    raise ValueError(f"feature '{feature}' is defined twice, in '{owner[feature]}' and '{name}'")
                owner[feature] = name
        return self

    @property
    def entity_keys(self) -> tuple[str, ...]:
        return self.views[self.primary].entity

    def feature_names(self) -> tuple[str, ...]:
        return tuple(name for view in self.views.values() for name in view.feature_names())

    def categories(self) -> tuple[str, ...]:
        return tuple(name for view in self.views.values() for name in view.categories)
