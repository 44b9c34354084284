"""Options of the record of forecasts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from framework.options import Options

Percent = Annotated[float, Field(ge=0, le=100)]


class RecordOptions(Options):
    """``share``: per cent of the entities whose forecasts are kept, the same entities in every arm;
    0 for none.

    A file is written every ``seconds``, or when ``rows`` have come together. ``queue``: answers
    that wait for it at most; ``megabytes``: what all files may take; the oldest go.
    """

    share: Percent = 0.0
    seconds: PositiveFloat = 10.0
    rows: PositiveInt = 100_000
    queue: PositiveInt = 1000
    megabytes: PositiveInt = 1000
