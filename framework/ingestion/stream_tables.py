"""The options of sources of streams, and an entry that is no row.

Importing this module is light, because the module of a plugin's entry point takes its options from
here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from framework.options import Options


class StreamTable(Options):
    """The way from the entries of one stream to rows. ``rename``: ``{field: column}``, where a
    field is not named as in the view. ``date_format``: ``epoch_s`` or ``epoch_ms`` for times that
    are seconds or milliseconds since 1970; null: ISO 8601, or a type of the format's own.
    """

    rename: dict[str, str] = Field(default_factory=dict)
    date_format: Literal["epoch_s", "epoch_ms"] | None = None


class StreamOptions(Options):
    """``group``: the consumer group. ``batch``: entries read and stored at a time. ``bad_entries``:
    ``park`` copies an entry that is no row to a stream of its own with the reason and goes on;
    ``refuse`` stops there. Where no entry of a run's first batch is a row, and all for the same
    reason, the configuration is refused, and nothing is parked. ``follow``: look again every so
    many seconds until told to stop; null: read what there is and end.
    """

    group: str = "framework"
    batch: PositiveInt = 10_000
    bad_entries: Literal["park", "refuse"] = "park"
    follow: PositiveFloat | None = None


class BadEntryError(ValueError):
    """An entry that is no row.

    Args:
        why: The reason, which names the field.
        field: The field; None where the entry cannot be decoded.
        option: The option of the table that may be wrong instead.
    """

    def __init__(self, why: str, field: str | None = None, option: str = "format") -> None:
        super().__init__(why)
        self.field, self.option = field, option

    @classmethod
    def of(cls, field: str, why: str, option: str = "rename") -> BadEntryError:
        """Make the error of one field.

        Args:
            field: The field, as the entry names it.
            why: What is wrong with it.
            option: The option of the table that may be wrong instead.

        Returns:
            The error.
        """
        return cls(f"field '{field}': {why}", field, option)
