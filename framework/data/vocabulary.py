"""The words of tables, statuses and policies. Light: no array is imported."""

from __future__ import annotations

from typing import Literal

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
