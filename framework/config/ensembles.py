"""The members of ``model=ensemble`` in a configuration: each is the node of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from framework.config.catalog import Plugins
from framework.config.groups import default_node
from framework.errors import ConfigError

ENSEMBLE = "ensemble"


def members_of(name: Any, node: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The members of the node of a model by their names; none of a model that is no ensemble.

    Raises:
        ConfigError: A member does not say which model it is.
    """
    members = node.get("members")
    if name != ENSEMBLE or not isinstance(members, Mapping):
        return
    for member, inner in members.items():
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise ConfigError(
                f"model.members.{member}: the node of a model is needed, such as "
                "{name: MODEL, season_length: 7}."
            )
        if inner["name"] in (ENSEMBLE, "auto"):
            raise ConfigError(
                f"model.members.{member}.name: '{inner['name']}' cannot be a member; "
                "name one model."
            )
        yield str(member), dict(inner)


def filled(node: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """The node of an ensemble with the defaults of its members' models written out."""
    members = {
        member: {
            **default_node(inner["name"], plugins.find("model", inner["name"]).options),
            **inner,
        }
        for member, inner in members_of(node.get("name"), node)
    }
    return {**node, "members": members} if members else dict(node)
