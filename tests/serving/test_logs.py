"""What clients send stays within its line of the log."""

from __future__ import annotations

import logging
import sys

import pytest

from framework.serving.http.logs import TextFormatter


def record(message: str, *values: object, error: bool = False) -> logging.LogRecord:
    about = sys.exc_info() if error else None
    return logging.LogRecord("framework.access", logging.INFO, "", 0, message, values, about)


@pytest.mark.parametrize(
    "path", ["/a\n2026-01-01 INFO root: forged", "/\x1b[2Jgone", "/\u202ereversed", "/\r\x85\x9b"]
)
def test_a_path_begins_no_line_and_steers_no_terminal(path: str) -> None:
    text = TextFormatter().format(record("%s %s", "GET", path))
    assert text.isprintable()
    assert repr(path)[1:-1] in text


def test_the_lines_of_an_error_are_no_lines_of_the_log() -> None:
    try:
        raise ValueError("bad\n2026-01-01 INFO root: forged \x1b[2J")
    except ValueError:
        text = TextFormatter().format(record("failed", error=True))
    first, *others = text.splitlines()
    assert first.endswith("framework.access: failed")
    assert len(others) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in others)
