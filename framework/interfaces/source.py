"""Source: raw data to tables, one for each feature view."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import PositiveFloat, model_validator

from framework.errors import ConfigError
from framework.options import Options, SecretUrl
from framework.secrets import remember, secrets_in

if TYPE_CHECKING:
    import pandas as pd

from framework.data.vocabulary import TIME
from framework.features.operations import Join
from framework.features.views import View


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way into the store.

    ``rows``: as :meth:`Source.read` gives them; of equal ``View.identity`` the last one counts.
    ``whole``: they are all there is, so that a gap, a duplicate or a wrong order in them is an
    error. ``part``: they are all there is of their series; the batches come in the order of their
    keys, and all of them are stored together or none. ``position``: where the source has got to
    with them, kept when they are stored and handed to the next ``batches``. ``stored``: called when
    they are stored, as often as they are. ``reject``: takes a row (its number and why it cannot be
    stored) off the ingestion's hands; None: such a row stops it.
    """

    rows: pd.DataFrame
    whole: bool = False
    part: bool = False
    position: str | None = None
    stored: Callable[[], None] | None = None
    reject: Callable[[int, str], None] | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """The use of the columns of a table.

    ``texts``: keys and categories, wanted as they are written. ``numbers`` and ``times``: wanted as
    such. ``keys``: those of ``texts`` that tell the series apart.
    """

    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @classmethod
    def of_view(cls, view: View) -> Roles:
        """Make the roles of the columns that the source gives for a view.

        Args:
            view: The view.

        Returns:
            The roles.
        """
        times = (TIME,) if view.created is None else (TIME, view.created)
        return cls((*view.entity, *view.texts), view.numbers, times, view.entity)

    @classmethod
    def of_joins(cls, joins: Iterable[tuple[View, Join]]) -> Roles:
        """Make the roles of the columns of one table that views join.

        Args:
            joins: Each view and its join. A text to one of them is a text.

        Returns:
            The roles.
        """
        texts: dict[str, None] = {}
        numbers: dict[str, None] = {}
        times: dict[str, None] = {}
        for view, op in joins:
            texts |= dict.fromkeys(op.by)
            for column, name in zip(op.columns, op.names(), strict=True):
                (texts if name in view.categories else numbers)[column] = None
            times |= {} if op.time is None else {op.time: None}
        return cls(tuple(texts), tuple(c for c in numbers if c not in texts), tuple(times))


class Source(ABC):
    """Reads raw data. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def check(self, tables: Mapping[str, Roles]) -> None:  # noqa: B027  optional
        """Look at what can be told before any row is read. Runs that would read the source call it
        before they begin, so it takes a fraction of a second.

        Args:
            tables: The tables that will be read, and how their columns are used.

        Raises:
            ConfigError: A table is not declared, or has no such column.
            NotThereError: A file is not there.
            DataError: What it is read from cannot be reached or read.
        """

    @abstractmethod
    def read(self, table: str) -> pd.DataFrame:
        """Read every row of one table, in the source's order.

        Args:
            table: The table's name, as a view or a join has it.

        Returns:
            A view's keys, ``event_timestamp`` (UTC) and values, or what views join.

        Raises:
            DataError: A file, table or column is missing; the message names it.
        """

    def read_as(self, table: str, roles: Roles) -> pd.DataFrame:
        """Read as :meth:`read` does, columns as they are used.

        A source whose data has no types of its own, such as CSV, reads columns as ``roles`` says.

        Args:
            table: The table's name.
            roles: How its columns are used.

        Returns:
            The rows of :meth:`read`.
        """
        return self.read(table)

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """Read what is to be stored for a view, one batch after another. The next one is asked for
        when the last is stored. By default it is the whole table each time.

        Rows that were given before may be given again: storing them twice changes nothing.

        Args:
            table: The table's name.
            view: The view that the rows are for.
            position: The newest one that was stored; None: begin at the beginning.

        Yields:
            The batches.
        """
        yield Batch(self.read_as(table, Roles.of_view(view)), whole=True)

    @abstractmethod
    def fingerprint(self) -> dict[str, str]:
        """Say what was read.

        Returns:
            ``{file or query: sha256}``; equal data gives an equal fingerprint.
        """

    def fingerprint_of(self, tables: Sequence[str]) -> dict[str, str]:
        """Say what tables can be told by without reading them.

        ``train`` compares it with that of the last ingestion, so it differs only when reading again
        would matter.

        Args:
            tables: The tables' names.

        Returns:
            As :meth:`fingerprint`; empty: nothing tells them.
        """
        return {}

    def size(self, tables: Sequence[str]) -> int | None:
        """Estimate what the rows of tables take in a Parquet file, without reading them.

        A run that the disk has no room for is refused by it, so it is rather too small.

        Args:
            tables: The tables' names.

        Returns:
            Bytes; None where nothing tells it.
        """
        return None

    def warnings(self) -> list[str]:
        """Say what was doubtful in what was read.

        Returns:
            One line each.
        """
        return []

    @property
    def poll(self) -> float | None:
        """Seconds between two looks for new rows until the run is told to stop; None:
        ``run=ingest`` takes what there is and ends.
        """
        return None

    def close(self) -> None:  # noqa: B027  most sources hold nothing
        """Release connections."""


class Connection(Options):
    """``url``: of the server; a password in it comes from the environment, ``${oc.env:NAME}``.
    ``url_env``: the variable that holds the whole URL, instead. ``password_env``: the one that
    holds the password alone. ``follow``: look again every so many seconds until told to stop; null:
    read what there is and end.
    """

    url: SecretUrl | None = None
    url_env: str | None = None
    password_env: str | None = None
    follow: PositiveFloat | None = None

    @model_validator(mode="after")
    def _where_from(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give url or url_env, the environment variable that holds it")
        return self

    def address(self) -> str:
        """Return the URL, from wherever it is.

        Returns:
            The URL, with its password.

        Raises:
            ConfigError: Its environment variable is not set.
        """
        return self.url if self.url is not None else _environment("url_env", self.url_env)

    def password(self) -> str | None:
        """Return the password, from its environment variable.

        Returns:
            The password; None when ``password_env`` names no variable.

        Raises:
            ConfigError: The variable is not set.
        """
        return (
            None if self.password_env is None else _environment("password_env", self.password_env)
        )


def _environment(option: str, name: str | None) -> str:
    value = os.environ.get(name or "")
    if not value:
        raise ConfigError(f"source.{option}: the environment variable {name} is not set.")
    for each in [value] if option == "password_env" else secrets_in(value):
        remember(each)
    return value
