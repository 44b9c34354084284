"""The words of tables, statuses and policies. Light: no array is imported."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

OK = "ok"


UNKNOWN_ENTITY = "unknown_entity"


MISSING_FEATURE = "missing_feature"


STALE = "stale"


SHORT_HISTORY = "short_history"


ERROR = "error"


#: The column of every table that says which step a row is.
TIME = "event_timestamp"


#: What is done about a step that a series lacks: nothing goes on, or a row of nulls takes its
#: place.
GapPolicy = Literal["refuse", "insert"]


#: What is done about a row that is older than its view's ttl: no forecast, or a forecast that says
#: so.
StalePolicy = Literal["refuse", "flag"]


#: Where models forecast unless something else is said.
CPU = "cpu"


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError(f"'{value}' is no device; there is cpu, cuda, cuda:N and auto")
    return value


#: Where a model forecasts: ``cpu``, ``cuda`` (the first GPU) or ``cuda:N``; ``auto``: a GPU where
#: there is one and the model can use it.
Device = Annotated[str, AfterValidator(_device)]
