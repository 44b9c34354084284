"""The query of every load, built once: building a query takes as long as running it. One row for
each alias of the pair, or one without.
"""

from __future__ import annotations

import sqlalchemy as sa

from framework_mlflow.ledger import tables

#: The MLflow stores that have been set up beside the ledger.
STORES = sa.select(tables.stores.c.uri)
_name = sa.bindparam("name")
_same_pair = (tables.aliases.c.name == tables.pairs.c.name) & (
    tables.aliases.c.version == tables.pairs.c.version
)
_complete = sa.select(tables.pairs, tables.aliases.c.alias).outerjoin_from(
    tables.pairs, tables.aliases, _same_pair
)
_complete = _complete.where(tables.pairs.c.name == _name, ~tables.pairs.c.removed).order_by(
    tables.aliases.c.alias
)
NUMBERED = _complete.where(tables.pairs.c.version == sa.bindparam("version"))
_newest = sa.select(sa.func.max(tables.pairs.c.version)).where(
    tables.pairs.c.name == _name, ~tables.pairs.c.removed
)
NEWEST = _complete.where(tables.pairs.c.version == _newest.scalar_subquery())
_pointed = sa.select(tables.aliases.c.version).where(
    tables.aliases.c.name == _name, tables.aliases.c.alias == sa.bindparam("alias")
)
UNDER = _complete.where(tables.pairs.c.version == _pointed.scalar_subquery())
