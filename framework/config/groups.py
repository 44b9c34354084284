"""The config groups that select a component, and the node that each selection gets."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from framework.interfaces.plugin import Kind
from framework.options import Options

#: Config groups that select a component; ``baseline`` selects a model too.
GROUPS: dict[str, Kind] = {
    "source": "source",
    "retrieval": "retrieval",
    "preprocessor": "preprocessor",
    "model": "model",
    "baseline": "model",
    "registry": "registry",
    "serving": "serving",
    "tuner": "tuner",
    "compute": "compute",
    "ledger": "ledger",
}

#: What is selected in a composition that says nothing of a group, as those do that were recorded
#: before there was one.
DEFAULTS = {"ledger": "files"}

#: Keys that have another name today.
MOVED = {"serving.records": "ledger"}


def default_node(name: str, options: type[Options]) -> dict[str, Any]:
    """Make the node that ``group=name`` selects: the name, and every option with its default."""
    return {"name": name, **default_values(options)}


def default_values(options: type[Options]) -> dict[str, Any]:
    """Give every option with its default, as YAML has it; ``???`` where one must be given."""
    node: dict[str, Any] = {}
    for key, field in options.model_fields.items():
        default = "???" if field.is_required() else field.get_default(call_default_factory=True)
        node[key] = (
            default.get_secret_value()
            if isinstance(default, SecretStr)
            else to_jsonable_python(default)
        )
    return node
