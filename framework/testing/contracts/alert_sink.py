"""Contract suite of alert sinks. Subclass it in a plugin's tests::

class TestMine(AlertSinkContract):
    name = "mine"

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]: ...
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from framework.errors import FrameworkError
from framework.interfaces.alert_sink import Alert
from framework.interfaces.plugin import Kind
from framework.testing.contracts.component import ComponentContract
from framework.testing.contracts.findings import refusal

#: A password or the path of a URL, which no message shows.
SECRET = "open-sesame"  # noqa: S105  of no service

ALERT = Alert(
    "drifting",
    {"alertname": "drifting", "name": "shops", "severity": "page", "target": "Umsätze"},
    {"summary": "shops: drift is 2, above 0"},
    "firing",
    "2024-05-01T06:00:00+00:00",
    "2024-05-01T06:00:00+00:00",
)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A real receiver of alerts.

    ``options``: with which the sink reaches it; a secret in them contains :data:`SECRET`.
    ``messages``: gives the texts that have come so far. ``stop``: makes it unreachable; None for
    what always takes alerts.
    """

    options: dict[str, Any]
    messages: Callable[[], list[str]]
    stop: Callable[[], None] | None


class AlertSinkContract(ComponentContract):
    """The promises of every alert sink."""

    kind: ClassVar[Kind] = "alert_sink"

    @pytest.fixture
    @abstractmethod
    def receiver(self) -> Iterator[Receiver]:
        """Start a receiver, and end it.

        Returns:
            It, as a fixture gives it.
        """

    def test_alerts_of_a_run_come_as_one_group(self, receiver: Receiver) -> None:
        other = replace(
            ALERT,
            name="worse",
            labels={**ALERT.labels, "alertname": "worse"},
            annotations={"summary": "shops: MAE is 9, above 2"},
        )
        self.make(**receiver.options).send("shops", [ALERT, other])
        text = "\n".join(receiver.messages())
        for part in ("drifting", "worse", "page", "drift is 2, above 0", "MAE is 9, above 2"):
            assert part in text, (
                f"two alerts of one run arrive without '{part}': the name, severity and summary of "
                "each are what a person acts on."
            )

    def test_one_that_is_over_looks_another_than_one_that_fires(self, receiver: Receiver) -> None:
        sink = self.make(**receiver.options)
        sink.send("shops", [ALERT])
        sink.send("shops", [replace(ALERT, state="resolved", ended_at="2024-05-02T06:00:00+00:00")])
        messages = receiver.messages()
        assert len(messages) == 2, f"two calls of send arrive as {len(messages)} messages."
        fires, over = (message.lower() for message in messages)
        assert "firing" in fires, f"an alert that fires arrives without the word: {fires!r}."
        assert "resolved" not in fires, f"an alert that fires arrives as resolved: {fires!r}."
        assert "resolved" in over, (
            f"an alert that is over arrives without the word 'resolved', as if it fired: {over!r}."
        )

    def test_what_is_not_taken_is_an_error_without_a_secret(self, receiver: Receiver) -> None:
        if receiver.stop is None:
            return
        receiver.stop()
        error = refusal(
            lambda: self.make(**receiver.options).send("shops", [ALERT]),
            FrameworkError,
            "send to a receiver that does not take it (an alert that is lost in silence)",
        )
        assert SECRET not in str(error), (
            f"the error of a receiver that refuses shows the secret of the options: {error}"
        )
