"""Operations of feature engineering: what a view's ``engineer`` list may hold.

:mod:`framework.features.engineering` applies them at ingestion.

Every operation looks at a row's own step and earlier ones only, and makes the columns that
``names`` gives.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from framework.errors import ConfigError
from framework.features.calendar_options import CalendarOptions
from framework.options import Duration, Options, step_numbers

Statistic = Literal["mean", "std", "min", "max", "sum"]
#: Counts of steps, each at least 1; a range is written ``1..14``.
Steps = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), BeforeValidator(step_numbers)
]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Lag(Options):
    """``{column}_lag_{k}``: the column's value ``k`` steps before the row's step."""

    op: Literal["lag"]
    columns: Names
    steps: Steps

    def names(self) -> tuple[str, ...]:
        return tuple(f"{c}_lag_{k}" for c in self.columns for k in self.steps)


def steps_back(lags: Sequence[int], step: int) -> list[int]:
    """Count, for each lag, how far before the origin its value for ``step`` steps ahead lies; 0 is
    the origin.

    A lag that is not longer than the step counts as often as it must to reach the past.
    """
    return [lag * -(-step // lag) - step for lag in lags]


class Rolling(Options):
    """``{column}_rolling_{w}_{statistic}`` over the ``w`` steps that end with the row's own step;
    nulls are left out.
    """

    op: Literal["rolling"]
    columns: Names
    windows: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]
    statistics: tuple[Statistic, ...] = ("mean",)

    def names(self) -> tuple[str, ...]:
        return tuple(
            f"{c}_rolling_{w}_{s}"
            for c in self.columns
            for w in self.windows
            for s in self.statistics
        )


class Expanding(Options):
    """``{column}_expanding_{statistic}`` over the steps from the series' first to the row's own;
    nulls are left out.
    """

    op: Literal["expanding"]
    columns: Names
    statistics: tuple[Statistic, ...] = ("mean",)

    def names(self) -> tuple[str, ...]:
        return tuple(f"{c}_expanding_{s}" for c in self.columns for s in self.statistics)


class Difference(Options):
    """The change since ``k`` steps before: ``{column}_difference_{k}``, or
    ``{column}_relative_difference_{k}``, a share of the value then.

    A seasonal difference has the length of the season among its steps. A relative one is null where
    the earlier value is 0.
    """

    op: Literal["difference"]
    columns: Names
    steps: Steps = (1,)
    relative: bool = False

    def names(self) -> tuple[str, ...]:
        kind = "relative_difference" if self.relative else "difference"
        return tuple(f"{c}_{kind}_{k}" for c in self.columns for k in self.steps)


class Calendar(CalendarOptions):
    """``{prefix}_{field}`` of the row's own step, see
    :class:`framework.features.calendar_options.CalendarOptions`.
    """

    op: Literal["calendar"]

    def meaning(self) -> str:
        """Tell these values from those of an earlier version with the same options.

        It is part of a view's definition. The earlier version took labels of days for moments, and
        its weeks of the year were no ISO weeks.
        """
        labels = self.time_zone != "UTC" and not {"hour", "minute"} & set(self.fields)
        return "\ncalendar of labels" if labels or "week_of_year" in self.fields else ""


class Join(Options):
    """``{prefix}{column}`` of another table of the source, matched by ``by``: entity keys or
    categories of the view.

    ``time`` null: the table is static, one row for each key. Otherwise it is the table's column of
    times, and a row of the view gets the newest one that is not later than its own step, nor older
    than ``ttl``. A column that the view lists under ``categories`` is text, every other one a
    number. Null where nothing matches.
    """

    op: Literal["join"]
    table: str
    by: Names
    columns: Names
    prefix: str = ""
    time: str | None = None
    ttl: Duration | None = None

    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{c}" for c in self.columns)


class Python(Options):
    """A function of one's own, ``"package.module:function"``, that gives the columns ``outputs``.

    It is called as ``function(rows, **options)`` with a data frame of the entity keys,
    ``event_timestamp`` (UTC) and ``columns``, sorted by series and time, whole series only; it
    returns a number for each row and output: a data frame, or ``{output: array}``. What it gives
    for a row must follow from the row's series up to the row's step; ingestion checks that with the
    leak canary.
    """

    op: Literal["python"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    columns: Names
    outputs: Names
    options: dict[str, Any] = Field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        return self.outputs

    def source_digest(self) -> str:
        """SHA-256 of the module's file: what the function does may hang on anything in it. Raises
        :class:`ConfigError` without one.
        """
        module = self.function.partition(":")[0]
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise ConfigError(
                f"features: op python: module '{module}' of '{self.function}' is not found; "
                "install it or run beside it."
            )
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


Operation = Annotated[
    Lag | Rolling | Expanding | Difference | Calendar | Join | Python, Field(discriminator="op")
]
