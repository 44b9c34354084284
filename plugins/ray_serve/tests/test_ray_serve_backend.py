"""The Ray Serve backend: the shared contract."""

from __future__ import annotations

import httpx
import psutil
import pytest

from framework.testing.contracts.serving import ServingContract
from framework.testing.contracts.serving_live import LiveServingContract

from .conftest import Fresh, replicas


class TestRayServe(ServingContract):
    backend = "ray"
    options = Fresh()  # type: ignore[assignment]

    # What ForecastAPI does alone is looked at in the class of one process below: it starts in half
    # of the time.
    test_a_server_without_a_store_says_so = None  # type: ignore[assignment]
    test_too_many_requests_at_once_are_503_with_retry_after = None  # type: ignore[assignment]
    # A stop of four services takes half a minute: see the class below.
    test_a_stop_lets_requests_in_flight_finish_and_exits_with_0 = None  # type: ignore[assignment]

    def is_gone(self, url: str) -> bool:
        """Ray Serve's proxy stays for the other applications."""
        return httpx.get(f"{url}/health/live", timeout=30).status_code in (404, 503)


@pytest.mark.stress
class TestRayServeStops:
    """A stop of the four services."""

    backend = "ray"
    options = Fresh()
    is_gone = TestRayServe.is_gone
    test_stop = ServingContract.test_a_stop_lets_requests_in_flight_finish_and_exits_with_0


@pytest.mark.stress
class TestRayServeLive(LiveServingContract):
    backend = "ray"
    options = Fresh()  # type: ignore[assignment]

    # Of the four services under load, see test_ray_serve_faults.
    test_it_follows_its_alias_without_a_failed_or_mixed_answer = None  # type: ignore[assignment]
    test_shares_are_sticky_by_entity_and_an_answer_of_several_arms_names_each = None  # type: ignore[assignment]
    test_a_body_that_does_not_come_is_given_up = None  # type: ignore[assignment]
    test_a_registry_that_is_gone_changes_nothing_but_the_readiness = None  # type: ignore[assignment]
    test_keys_open_what_their_scopes_say_and_are_changed_without_a_restart = None  # type: ignore[assignment]
    test_a_variant_that_cannot_be_had_leaves_its_entities_to_the_served_pair = None  # type: ignore[assignment]
    test_a_canary_is_set_by_hand_and_falls_when_it_fails = None  # type: ignore[assignment]

    def shadow_processes(self, pid: int, url: str) -> list[psutil.Process]:
        """A shadow is a ModelService of its own."""
        return replicas(url, "ModelService-challenger")


class TestFused:
    """All stages in ForecastAPI."""

    backend = "ray"
    options = Fresh(topology="fused")
    reloading = LiveServingContract.reloading
    test_alias = LiveServingContract.test_it_follows_its_alias_without_a_failed_or_mixed_answer


@pytest.mark.stress
class TestFusedLive:
    """What a server of FastAPI shows in the gate, of all stages in ForecastAPI."""

    backend = "ray"
    options = Fresh(topology="fused")
    reloading = LiveServingContract.reloading
    test_no_store = ServingContract.test_a_server_without_a_store_says_so
    test_limit = ServingContract.test_too_many_requests_at_once_are_503_with_retry_after
    test_shares = LiveServingContract.test_shares_are_sticky_by_entity_and_an_answer_of_several_arms_names_each  # noqa: E501
    test_variant = (
        LiveServingContract.test_a_variant_that_cannot_be_had_leaves_its_entities_to_the_served_pair
    )
    test_body = LiveServingContract.test_a_body_that_does_not_come_is_given_up
    test_registry = (
        LiveServingContract.test_a_registry_that_is_gone_changes_nothing_but_the_readiness
    )
    test_keys = (
        LiveServingContract.test_keys_open_what_their_scopes_say_and_are_changed_without_a_restart
    )
    test_canary = LiveServingContract.test_a_canary_is_set_by_hand_and_falls_when_it_fails
