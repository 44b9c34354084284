"""The contract suite of serving backends that serve for long names what is wrong with each of some
faulty servers: the server of the core, in a thread of this process, with its requests or answers
spoiled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from framework.serving.app.app import create_app
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.contracts.serving_live import LiveServingContract
from framework.testing.failing import failing_checks
from framework.testing.servers.fake_server import make_deployment

#: Spoils a server: changes the scope of a request, and a message of its answer.
Fault = Callable[[dict[str, Any], dict[str, Any] | None], None]


def opens_to_everybody(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is None:
        others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        scope["headers"] = [*others, (b"authorization", b"Bearer third")]


def takes_any_scheme(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is None:
        scope["headers"] = [(k, v.replace(b"Basic", b"Bearer")) for k, v in scope["headers"]]


def forgets_the_challenge(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is not None and "headers" in answer:
        answer["headers"] = [p for p in answer["headers"] if p[0].lower() != b"www-authenticate"]


def one_arm_for_all(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is None and scope["path"] == "/predict" and not scope["query_string"]:
        scope["query_string"] = b"arm=production"


def forgets_the_arm(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is None:
        scope["headers"] = [p for p in scope["headers"] if p[0] != b"x-framework-arm"]


def any_share(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if scope["path"] == "/admin/canary" and answer is not None and answer.get("status") == 422:
        answer["status"] = 200


def hides_that_it_is_late(scope: dict[str, Any], answer: dict[str, Any] | None) -> None:
    if answer is not None and answer.get("status") in (408, 504):
        answer["status"] = 500


class Spoiled:
    """An application whose requests and answers a fault has changed."""

    def __init__(self, app: Any, fault: Fault) -> None:
        self.app, self.fault = app, fault

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def spoiled(message: dict[str, Any]) -> None:
            message = dict(message)
            self.fault(scope, message)
            await send(message)

        self.fault(scope, None)
        await self.app(scope, receive, spoiled)


KEYS = "test_keys_open_what_their_scopes_say_and_are_changed_without_a_restart"
SHARES = "test_shares_are_sticky_by_entity_and_an_answer_of_several_arms_names_each"
CANARY = "test_a_canary_is_set_by_hand_and_falls_when_it_fails"
BODY = "test_a_body_that_does_not_come_is_given_up"


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (opens_to_everybody, KEYS, "without a key, and with a wrong one: [200, 200]"),
        (takes_any_scheme, KEYS, "a right key with another scheme than Bearer is 200"),
        (forgets_the_challenge, KEYS, "401 comes with WWW-Authenticate None"),
        (one_arm_for_all, SHARES, "as a whole; each forecast carries its own"),
        (forgets_the_arm, SHARES, "X-Framework-Arm: tester is answered by"),
        (any_share, CANARY, "a share of 101 % is answered with 200"),
        (hides_that_it_is_late, BODY, "is answered with"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    fault: Fault, check: str, words: str, tmp_path: Path
) -> None:
    class Suite(LiveServingContract):
        backend, options = "fastapi", {}

        @contextmanager
        def reloading(self, directory: Path, **options: Any) -> Iterator[str]:
            chosen = ServingOptions.model_validate({"reload": {"seconds": 0.1}, **options})
            app = Spoiled(create_app(Service(make_deployment(directory), chosen)), fault)
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                while not server.started:
                    assert thread.is_alive()
                    time.sleep(0.01)
                (listener,) = server.servers[0].sockets
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    failures = failing_checks(Suite(), tmp_path, only={check})
    assert set(failures) == {check}, failures
    assert words in failures[check]
