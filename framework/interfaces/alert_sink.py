"""AlertSink: where an alert goes."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from framework.options import UNSHOWN, Options, Secret, SecretUrl

State = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: a rule and labels. Times are ISO 8601, UTC.

    ``active_at``: since when it is active. ``seen_at``: when it was last active. ``told``: by the
    name of a sink the state that it took last.
    """

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: State
    active_at: str
    seen_at: str
    ended_at: str | None = None
    told: dict[str, State] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Give what tells alerts apart."""
        text = json.dumps(self.labels, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_due(self, sink: str) -> bool:
        """Say whether a sink is to be told: once that it fires, and once that this is over.

        Args:
            sink: Its name.

        Returns:
            True where it does not know.
        """
        last = self.told.get(sink)
        return (self.state == "firing" and last != "firing") or (
            self.state == "resolved" and last == "firing"
        )

    @property
    def line(self) -> str:
        """Give the alert in a line, for people."""
        return (
            f"[{self.state.upper()}] {self.name} ({self.labels['severity']}): "
            f"{self.annotations['summary']}"
        )


class AlertSink(ABC):
    """Tells people or systems of alerts. The constructor stores its options and does nothing
    else.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    def check(self) -> None:  # noqa: B027  optional
        """Look at what the options name, before a run begins.

        Raises:
            ConfigError: A file is not there, or is none. It begins with the option.
        """

    @abstractmethod
    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        """Tell of alerts that fire or are resolved. Each is sent until it was taken once.

        Args:
            name: Of the pairs.
            alerts: One or more.

        Raises:
            FrameworkError: They were not taken, and are to be sent again. The message shows no
                secret.
        """


class WebhookOptions(Options):
    """``url``: takes the alerts, over http or https."""

    url: SecretUrl

    @field_validator("url")
    @classmethod
    def _over_http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise PydanticCustomError(
                UNSHOWN, "alerts are sent to a URL that begins with http:// or https://"
            )
        return url


class SmtpOptions(Options):
    """``host`` and ``port`` of the mail server; ``tls``: ``starttls``, ``tls`` from the first byte,
    or ``none``. ``ca``: a file of the authorities that are trusted, null for the system's.
    ``user`` and ``password``: null for a server that asks for none. ``sender`` and ``recipients``:
    addresses.
    """

    host: str
    port: PositiveInt = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca: Path | None = None
    user: str | None = None
    password: Secret | None = None
    sender: str = Field(pattern=r"^[^\s@]+@[^\s@]+$")
    recipients: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> SmtpOptions:
        if (self.user is None) != (self.password is None):
            raise ValueError("give user and password, or neither")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password is sent over TLS alone; tls=none sends it to everybody")
        return self
