"""The options of a calendar, the same in a view and in a preprocessor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from framework.options import Options

#: Fields of one day; and of a step of whole days, how many holidays it has.
ONE_DAY = ("is_holiday", "days_to_holiday", "days_since_holiday")
COUNT = "holidays"
HOLIDAY_FIELDS = (*ONE_DAY, COUNT)
#: Where a definition says of what kind it is; what is stored begins with it.
_KINDS = ("op", "step")
_DEFAULTS: Mapping[str, Any] = {"prefix": "calendar", "country_column": None, "countries": None}


class CalendarOptions(Options):
    """``{prefix}_{field}`` of a row's own step, from
    :func:`framework.features.calendar.calendar_columns`.

    ``country``: whose holidays count for every row, also of a state, ``US-CA``, and own dates,
    ``US+2024-11-29``. ``country_column``: the key or category whose value names the country of a
    row; ``countries``: the country of each value of that column, null where the value is the code
    itself. Holiday fields are null in a row whose country is null or not known.
    """

    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    country: str | None = None
    country_column: str | None = None
    countries: dict[str, str] | None = None
    time_zone: str = "UTC"
    prefix: str = "calendar"

    @model_validator(mode="after")
    def _one_way_to_a_country(self) -> CalendarOptions:
        if self.country_column is None:
            if self.countries is not None:
                raise ValueError(
                    "countries: it goes with country_column, which says whose values they are"
                )
            return self
        if self.country is not None:
            raise ValueError("give country, for every row, or country_column, not both")
        if not set(self.fields) & set(HOLIDAY_FIELDS):
            raise ValueError(
                f"country_column: none of the fields is about holidays; they are "
                f"{', '.join(HOLIDAY_FIELDS)}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the defaults of later keys, so that a stored calendar stays as it was."""
        values: dict[str, Any] = dump(self)
        kind = {k: values.pop(k) for k in _KINDS if k in values}
        return kind | {k: v for k, v in values.items() if k not in _DEFAULTS or v != _DEFAULTS[k]}

    def names(self) -> tuple[str, ...]:
        """Name the columns.

        Returns:
            A name for each field.
        """
        return tuple(f"{self.prefix}_{f}" for f in self.fields)

    def countries_of(self, texts: Sequence[str | None]) -> list[str | None]:
        """Look up the countries of values of ``country_column``.

        Args:
            texts: The values, None where null.

        Returns:
            The code of each, None where the value is null or ``countries`` lacks it.
        """
        if self.countries is None:
            return [*texts]
        return [None if text is None else self.countries.get(text) for text in texts]
