"""How a Ray is started and joined, without one."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from framework_ray import local

from framework.errors import FrameworkError

#: Ray's own words when a raylet's agents were not up in time.
SLOW = (
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup."
)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each start of Ray that is still to come fails with, the last first; without one it
    succeeds.
    """
    failures: list[str] = []

    def init(**options: Any) -> None:
        if failures:
            raise RuntimeError(failures.pop())

    monkeypatch.setattr(local.ray, "init", init)
    return failures


def test_a_start_that_was_too_slow_is_begun_again(starts: list[str]) -> None:
    starts.append(SLOW)
    local.start(2, False, None)
    assert not starts


@pytest.mark.parametrize(("failures", "left"), [([SLOW, SLOW], 0), ([SLOW, "no memory"], 1)])
def test_a_start_that_fails_again_or_otherwise_is_one_line(
    starts: list[str], failures: list[str], left: int
) -> None:
    starts += failures
    with pytest.raises(
        FrameworkError, match="a cluster on this machine cannot be reached: "
    ) as raised:
        local.start(2, False, None)
    assert "\n" not in str(raised.value)
    assert len(starts) == left


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_one_line_at_once(starts: list[str], scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
    starts.append("Ray was asked")
    with pytest.raises(
        FrameworkError, match=f"^ray.address: {address} cannot be reached: .*[Rr]efused"
    ) as raised:
        local.join(address)
    assert "\n" not in str(raised.value)
