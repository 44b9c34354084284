"""Feature views: what is kept in the feature store and how it is made. Declared once, in the
``features`` config group.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import field_validator, model_validator

from framework.data.vocabulary import TIME, StalePolicy
from framework.errors import suggest
from framework.features.operations import Calendar, Join, Operation, Python
from framework.options import Duration, Options

#: A column of every store beside the view's own: 1 in a row that fills a gap, 0 in one that the
#: source gave.
INSERTED = "__inserted"


class View(Options):
    """One feature view.

    ``entity``: its keys. ``columns``: what the source gives, in its table named like the view
    (``table`` overrides). ``categories``: those of them that are read as texts; every other one is
    a number. ``engineer``: columns computed at ingestion, in order. ``ttl``: how old a row may be
    to still describe an origin; of the primary view a step, unless it is given. A row's
    ``event_timestamp`` is the UTC start of its step; the row is known when the step has ended,
    hence usable at the origin of the same label. ``created``: the source's column that says when
    (UTC) a row became known; rows of equal key and time are then versions, all kept, the newest one
    read. ``valid_for``: how long a row holds for columns known in advance (``panel.known``): the
    newest row of ``row time <= step < row time + valid_for`` gives the value of a step; null: a row
    holds for the step of its own label alone. ``frequency``: how far apart the rows of a view are
    that is not the primary one, whose steps are ``panel.frequency``. Operations that look at other
    rows or at the calendar need it, unless there is a row at every step of the panel.
    ``forecasts_of``: the name of the pairs whose forecasts the rows are, as ``run=predict`` wrote
    them; ``monitor.retrain`` of these names the pairs that read such a view.
    """

    entity: tuple[str, ...]
    columns: tuple[str, ...]
    table: str | None = None
    categories: tuple[str, ...] = ()
    ttl: Duration
    engineer: tuple[Operation, ...] = ()
    created: str | None = None
    valid_for: Duration | None = None
    frequency: str | None = None
    forecasts_of: str | None = None

    @field_validator("ttl")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("ttl must be positive, such as 3d")
        return value

    @field_validator("valid_for")
    @classmethod
    def _holds_for_a_while(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value <= timedelta(0):
            raise ValueError(
                "valid_for must be positive, such as 7d; leave it out for rows of one step"
            )
        return value

    @model_validator(mode="after")
    def _created_is_its_own_column(self) -> View:
        if self.created in {TIME, *self.entity, *self.feature_names()}:
            raise ValueError(
                f"created: '{self.created}' is a key, a feature or the event time; name the "
                "column that says when a row became known"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> View:
        names = self.feature_names()
        for what, entries, known in (
            (
                "categories",
                self.categories,
                (
                    *self.columns,
                    *(n for op in self.engineer if isinstance(op, Join) for n in op.names()),
                ),
            ),
            *(
                ("join by", op.by, (*self.entity, *self.categories))
                for op in self.engineer
                if isinstance(op, Join)
            ),
            *(
                ("country_column", (op.country_column,), (*self.entity, *self.categories))
                for op in self.engineer
                if isinstance(op, Calendar) and op.country_column is not None
            ),
        ):
            wrong = [c for c in entries if c not in known]
            if wrong:
                raise ValueError(
                    f"{what}: {wrong} cannot be used there;{suggest(wrong[0], known)} "
                    f"Known: {list(known)}"
                )
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"features {twice} are made twice")
        return self

    def definition(self) -> str:
        """Describe how the stored columns are made. The text changes with every change of what is
        stored, a named function's source included.

        Returns:
            The text, whose digest tells stored rows apart.
        """
        sources = "".join(op.source_digest() for op in self.engineer if isinstance(op, Python))
        meanings = "".join(op.meaning() for op in self.engineer if isinstance(op, Calendar))
        unsaid = {"frequency"} if self.frequency is None else set()  # as before there was one
        return (
            self.model_dump_json(exclude={"ttl", "table", "valid_for", "forecasts_of", *unsaid})
            + sources
            + meanings
        )

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns that the source gives."""
        return tuple(c for c in self.columns if c not in self.categories)

    @property
    def texts(self) -> tuple[str, ...]:
        """The categories that the source gives."""
        return tuple(c for c in self.columns if c in self.categories)

    @property
    def counts_steps(self) -> bool:
        """Tell whether an engineered column needs more than its row and joined tables."""
        return any(not isinstance(op, Join) for op in self.engineer)

    def identity(self) -> tuple[str, ...]:
        """List the columns that tell stored rows apart.

        Returns:
            Keys, ``event_timestamp``, and the created column of a view that has one.
        """
        return (*self.entity, TIME) if self.created is None else (*self.entity, TIME, self.created)

    def feature_names(self) -> tuple[str, ...]:
        """List every column of the view beside its identity.

        Returns:
            The columns, in the order they are stored.
        """
        return self.columns + tuple(name for op in self.engineer for name in op.names())


class FeatureSet(Options):
    """The views of an experiment. ``primary`` is the view whose rows are the steps of the series;
    it holds the targets.

    A view's ttl is judged at the origin of a forecast. ``max_age``: how far the newest origin may
    lie behind the clock when a request names none; null for any distance. ``stale``: what is done
    about a row that is older than either allows.
    """

    primary: str
    views: dict[str, View]
    stale: StalePolicy = "refuse"
    max_age: Duration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSet:
        if self.primary not in self.views:
            raise ValueError(
                f"primary '{self.primary}' is not one of the views {sorted(self.views)}"
            )
        if self.views[self.primary].frequency is not None:
            raise ValueError(
                f"views.{self.primary}.frequency: the steps of the primary view are "
                "panel.frequency; leave it out here"
            )
        keys = set(self.views[self.primary].entity)
        owner: dict[str, str] = {}
        for name, view in self.views.items():
            if not set(view.entity) <= keys:
                raise ValueError(
                    f"view '{name}' has entity keys {list(view.entity)} that the primary view lacks"
                )
            for feature in view.feature_names():
                if feature in owner:
                    raise ValueError(
                        f"feature '{feature}' is defined twice, in '{owner[feature]}' and '{name}'"
                    )
                owner[feature] = name
        return self

    @property
    def entity_keys(self) -> tuple[str, ...]:
        return self.views[self.primary].entity

    def feature_names(self) -> tuple[str, ...]:
        """List the columns of all views beside their identities.

        Returns:
            The columns, view by view.
        """
        return tuple(name for view in self.views.values() for name in view.feature_names())

    def categories(self) -> tuple[str, ...]:
        """List the categories of all views.

        Returns:
            The columns, view by view.
        """
        return tuple(name for view in self.views.values() for name in view.categories)
