"""Which names and pages a server answers, by its options; how fast wrong keys are tried."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from framework.serving.http.access import Access
from framework.serving.http.asgi import Call
from framework.serving.http.refusal import Refusal
from framework.serving.options import AccessOptions

KEYS = "FRAMEWORK_SERVING_KEYS"


def call(method: str = "GET", path: str = "/pair", **headers: str) -> Call:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Call(method, path, b"", named, b"")


def status(access: Access, asked: Call) -> int:
    try:
        access(asked)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("options", "keys", "expected"),
    [
        ({}, False, 421),
        ({"hosts": ["Forecasts.example.org"]}, False, 200),
        ({"open": True}, False, 200),
        ({"open": True, "hosts": ["other.example.org"]}, False, 421),
        ({}, True, 200),
        ({"hosts": ["other.example.org"]}, True, 421),
    ],
)
def test_the_names_of_a_server_follow_from_who_may_reach_it(
    options: dict[str, Any], keys: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if keys:
        monkeypatch.setenv(KEYS, f"predict {sha256(b'right').hexdigest()}")
    access = Access(AccessOptions.model_validate(options))
    key = "Bearer right"
    for _ in range(2):
        assert (
            status(access, call(host="forecasts.example.org:8000", authorization=key)) == expected
        )
    for host in ("localhost", "127.0.0.1:8000"):
        assert status(access, call(host=host, authorization=key)) == 200
    assert status(access, call(authorization=key)) == 200  # HTTP/1.0, no browser


def test_a_page_that_is_named_may_ask() -> None:
    access = Access(AccessOptions(cors=("https://app.example.org",)))
    for origin, expected in (("https://app.example.org", 200), ("https://example.org", 403)):
        asked = call("POST", "/predict", host="localhost", origin=origin)
        assert status(access, asked) == expected


@pytest.mark.parametrize("host", ["http://example.org", "example.org:80", "example.org/path", ""])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(ValueError, match="hosts"):
        AccessOptions(hosts=(host,))


def test_wrong_keys_wait_for_each_other_and_right_ones_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEYS, f"predict {sha256(b'right').hexdigest()}")
    access, waits = Access(AccessOptions()), []
    for key in ("a", "b", "c", "", *"defghijklmnopqrstuvwxyz"):
        with pytest.raises(Refusal) as refused:
            access(call(authorization=f"Bearer {key}"))
        waits.append(refused.value.wait)
    assert waits[:3] == pytest.approx([0.25, 0.5, 0.75], abs=0.1)
    assert waits[3] == 0  # no key at all is no guess
    assert max(waits) <= 5
    assert waits[-1] > 4.5
    assert status(access, call(authorization="Bearer right")) == 200
