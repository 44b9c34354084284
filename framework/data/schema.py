"""The values that cross the seams: schema, context, windows, forecast. Arrays, not data frames.

Letters in shapes: n windows (or series), L context steps, H horizon steps, T targets, P past
columns, K known-in-advance columns, S static columns, Q quantiles, F features after preprocessing.
All times are UTC, ``datetime64[us]``, and label the start of a step.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from framework.data.vocabulary import TIME


class Schema(BaseModel):
    """The columns that a pair was trained on and answers. Saved with both halves; the door of every
    request is built from it.

    ``past``: numeric columns of a context row, the targets first. ``nullable``: the columns of
    ``past`` and the categories that held nulls in training and may be null in a request; of
    ``known`` those that a view makes as changes, where the model bears it. ``known``: numeric
    columns known in advance, given for future steps. ``static``: text columns; the entity
    keys first, then category features. ``categories``: the values of each that training saw,
    sorted, None where there are too many; empty for a pair of an earlier version. ``anchors``: a
    time of each grid that the training series lie on, none where any time will do. ``bounds``: by
    target the lowest and the highest value, None for no limit; ``zero_when``: by known column the
    value with which every target is 0; ``rounded``: the targets that are whole numbers. ``cold``:
    a window without any value of a target of its own gets a forecast, flagged as cold.
    ``least_context``: the steps of history that a window must have, None for all of
    ``context_length``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entity_keys: tuple[str, ...]
    frequency: str
    targets: tuple[str, ...]
    past: tuple[str, ...]
    nullable: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]
    horizon: int
    context_length: int
    quantiles: tuple[float, ...]
    categories: dict[str, tuple[str, ...] | None] = {}
    anchors: tuple[str, ...] = ()
    bounds: dict[str, tuple[float | None, float | None]] = {}
    zero_when: dict[str, float] = {}
    rounded: tuple[str, ...] = ()
    cold: bool = False
    least_context: int | None = None

    @property
    def needed_steps(self) -> int:
        """The steps of history without which a series gets no forecast."""
        return self.least_context or self.context_length

    def column_error(self, columns: tuple[str, ...]) -> str | None:
        """Compare columns with those of a context row.

        Args:
            columns: The columns that there are.

        Returns:
            One line that names the missing and unknown ones; None when all is there.
        """
        expected = {*self.entity_keys, TIME, *self.past, *self.static}
        lacking, extra = sorted(expected - set(columns)), sorted(set(columns) - expected)
        parts = [f"missing {lacking}"] if lacking else []
        parts += [f"unknown {extra}"] if extra else []
        return f"pair '{self.name}': columns " + " and ".join(parts) if parts else None
