"""A query that runs before every load: built and compiled once, run on the driver's own cursor.

SQLAlchemy takes about 0.2 ms for what SQLite does in 0.02. A connection still comes from the
engine's pool, with its checks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa


def rows(engine: sa.Engine, query: sa.Select[Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Run ``query`` with ``values`` in place; return its rows, columns by name. One statement sees
    one state of the database.

    Raises what SQLAlchemy raises. The columns are of types that the driver gives as they are: text,
    whole numbers.
    """
    compiled = _compiled(query, engine.dialect)
    text, keywords, order = (
        str(compiled),
        compiled.construct_params(values),
        getattr(compiled, "positiontup", None),
    )
    pooled = engine.raw_connection()
    try:
        cursor = pooled.cursor()
        cursor.execute(text, tuple(keywords[name] for name in order) if order else keywords)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except engine.dialect.loaded_dbapi.Error as error:
        raise sa.exc.DBAPIError(text, None, error) from error
    finally:
        pooled.close()


@lru_cache(maxsize=64)
def _compiled(query: sa.Select[Any], dialect: sa.Dialect) -> sa.Compiled:
    return query.compile(dialect=dialect)
