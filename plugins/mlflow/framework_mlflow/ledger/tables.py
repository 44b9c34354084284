"""The ledger's tables. A pair is complete when its row is here; an alias is what its row here
says.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

#: One row a complete pair. ``mirrored``: whether MLflow's versions say so too. ``removed``: it is
#: none any more, the rest is being deleted.
pairs = Table(
    "framework_pairs",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("pair_id", String(32), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("run_id", String(200), nullable=False),
    Column("created", String(40), nullable=False),
    Column("preprocessor", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("mirrored", Boolean, nullable=False),
    Column("removed", Boolean, nullable=False),
)

#: One row an upload whose pair is not complete. ``begun``: by the clock of the machine that
#: registers. ``abandoned``: it never will be.
uploads = Table(
    "framework_uploads",
    metadata,
    Column("pair_id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("begun", String(40), nullable=False),
    Column("who", Text, nullable=False),
    Column("preprocessor", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("abandoned", Boolean, nullable=False),
)

#: Where each alias points. ``mirrored``: whether MLflow's aliases on both halves say the same.
aliases = Table(
    "framework_aliases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("alias", String(200), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("mirrored", Boolean, nullable=False),
)

history = Table(
    "framework_history",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(20), nullable=False),
    Column("alias", String(200)),
    Column("before", Integer),
    Column("after", Integer),
    Column("reason", Text),
    Column("verdict", Text),
    Column("digest", String(64)),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("name", "hash"),
)

#: One row an entry of the history that a key signed. A ledger of an earlier version has no such
#: table until then.
signatures = Table(
    "framework_signatures",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", String(64), nullable=False),
    Column("signature", Text, nullable=False),
)

#: ``level``: the highest number that both halves have reached together; what is above it and not a
#: pair was left by a crash.
names = Table(
    "framework_names",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("level", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("head", String(64), nullable=False),
)

#: The number of the form in which a ledger is written. 1: sources are absolute, and there is no
#: table of formats. 2: sources in the ledger's own folder are relative to it.
FORMAT = 2
formats = Table(
    "framework_formats",
    metadata,
    Column("what", String(40), primary_key=True),
    Column("number", Integer, nullable=False),
)

#: MLflow stores that have been set up: several processes must not create the same tables at once.
stores = Table(
    "framework_stores",
    metadata,
    Column("uri", String(500), primary_key=True),
    Column("mlflow", String(40), nullable=False),
)
