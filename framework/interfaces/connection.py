"""Options of a source that asks a server: where it is, and how often it is asked."""

from __future__ import annotations

import os
from typing import Self

from pydantic import PositiveFloat, model_validator

from framework.errors import ConfigError
from framework.interfaces.options import Options, SecretUrl
from framework.secrets import remember, secrets_in


class Connection(Options):
    """``url``: of the server; a password in it comes from the environment, ``${oc.env:NAME}``. ``url_env``: the variable that holds the
    whole URL, instead. ``password_env``: the one that holds the password alone. ``follow``: look again every so many seconds until told
    to stop; null: read what there is and end.
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
        """The URL, from wherever it is; raises :class:`ConfigError` when its environment variable is not set."""
        return self.url if self.url is not None else _environment("url_env", self.url_env)

    def password(self) -> str | None:
        """None when ``password_env`` names none; raises :class:`ConfigError` when that variable is not set."""
        return None if self.password_env is None else _environment("password_env", self.password_env)


def _environment(option: str, name: str | None) -> str:
    value = os.environ.get(name or "")
    if not value:
        raise ConfigError(f"source.{option}: the environment variable {name} is not set.")
    for each in [value] if option == "password_env" else secrets_in(value):
        remember(each)
    return value
