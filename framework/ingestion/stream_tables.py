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
    ``refuse`` stops there. ``follow``: look again every so many seconds until told to stop; null:
    read what there is and end.
    """

    group: str = "framework"
    batch: PositiveInt = 10_000
    bad_entries: Literal["park", "refuse"] = "park"
    follow: PositiveFloat | None = None


class BadEntryError(ValueError):
    """An entry that is no row.

    Args:
        why: The reason, which names the field.
    """

    @classmethod
    def of(cls, field: str, why: str) -> BadEntryError:
        """Make the error of one field.

        Args:
            field: The field, as the entry names it.
            why: What is wrong with it.

        Returns:
            The error.
        """
        return cls(f"field '{field}': {why}")
