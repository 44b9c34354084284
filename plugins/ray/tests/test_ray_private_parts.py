"""Ray works as it comes where it has none of the private parts that make it start sooner."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest
import ray
import ray._private.node
import ray._private.services
from framework_ray import local, private_parts
from ray.air._internal import usage
from ray.tune.execution import tune_controller

from framework.interfaces.foreign_parts import find_part

#: Each part that is replaced while a Ray starts, or a search runs.
PARTS = (
    (ray._private.node.Node, "start_api_server"),
    (ray._private.node.Node, "start_monitor"),
    (ray._private.node.Node, "start_log_monitor"),
    (ray._private.services, "start_ray_process"),
    (ray._private.services, "get_node"),
    (usage, "tag_callbacks"),
    (tune_controller, "RayActorManager"),
)


def parts() -> list[object]:
    return [vars(owner)[name] for owner, name in PARTS]


@pytest.fixture
def without_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray of a later version, whose private parts are not found."""
    monkeypatch.setattr(private_parts, "find_part", lambda module, name="": None)
    monkeypatch.setattr(metadata, "version", lambda distribution: "2.99.0")
    yield
    ray.shutdown()


def test_the_installed_ray_is_a_tested_one() -> None:
    """After an update of Ray: try the parts, then widen ``TESTED``."""
    assert metadata.version("ray") in private_parts.TESTED


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray._private.node", "Node.start_monitor"),
        ("ray._raylet", "GcsClient"),
        ("ray._raylet", "persist_port"),
        ("ray.serve.context", "_get_global_client"),
        (private_parts.SERVE_REPLICA, ""),
    ],
)
def test_a_tested_ray_has_the_parts(module: str, name: str) -> None:
    assert find_part(module, name) is not None


def test_a_part_that_is_gone_is_none() -> None:
    assert find_part("ray._private.no_such_module") is None
    assert find_part("ray._private.node", "Node.no_such_method") is None


def test_the_parts_are_as_they_were_afterwards() -> None:
    before = parts()
    with (
        private_parts.few_processes(agent=False),
        private_parts.managed_actors(lambda cause: None, same_environment=True),
    ):
        assert not any(new is old for new, old in zip(parts(), before, strict=True))
    assert parts() == before


@pytest.mark.stress
def test_a_ray_without_the_parts_starts_and_works(without_parts: None) -> None:
    """It starts as it comes: with its own processes and its own settings."""
    before = parts()
    with private_parts.few_processes(agent=False):
        assert parts() == before
    with private_parts.managed_actors(lambda cause: None, same_environment=True):
        assert parts() == before
    assert private_parts.raylet_settings(("framework_ray.imports",), prestart=True) == {}
    assert private_parts.serve_port() is None
    local.start(1, False, None, ("framework_ray.imports",))
    assert ray.get(ray.remote(lambda number: number + 1).remote(1), timeout=60) == 2
