"""Requests to a server that go on while something happens to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from framework.serving.app.examples import example_payload
from framework.testing import fakes


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is so.

    Args:
        condition: Says whether it is.
        seconds: The longest wait; then it is an assertion error.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@contextmanager
def asking(
    url: str, every: float = 0.02, path: str = "/predict", **request: Any
) -> Iterator[list[httpx.Response]]:
    """Ask a server again and again, in a thread, while the block runs.

    Args:
        url: The base URL.
        path: The path that is asked.
        request: The body.
        every: Seconds between two requests.

    Yields:
        The answers, which grow.
    """
    answers, stop = list[httpx.Response](), threading.Event()
    row = example_payload(fakes.make_schema(), fakes.make_pair()[1])["rows"][0]
    arguments = {"json": {"rows": [row]}, **request}

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            while not stop.wait(every):
                answers.append(http.post(path, **arguments))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
