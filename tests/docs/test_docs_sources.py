"""The sources that the documentation shows are accepted as configuration, and every operation that
it lists exists.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from framework.features.operations import Operation
from framework.options import validate
from framework.plugins.discovery import load_plugins

DOCS = Path(__file__).parents[2] / "docs"


def _blocks(page: str) -> list[dict]:
    """The indented blocks that select a source."""
    text = (DOCS / page).read_text()
    blocks = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    return [
        yaml.safe_load("\n".join(line[4:] for line in block.splitlines()))
        for block in blocks
        if "override /source" in block
    ]


@pytest.mark.parametrize(
    "block", _blocks("how-to/ingest.md"), ids=lambda block: block["defaults"][0]["override /source"]
)
def test_a_printed_source_is_accepted(block: dict) -> None:
    component = load_plugins().find("source", block["defaults"][0]["override /source"])
    validate(component.options, block["source"], "source")


def test_each_source_with_a_server_is_shown() -> None:
    assert [b["defaults"][0]["override /source"] for b in _blocks("how-to/ingest.md")] == [
        "sql",
        "redis_stream",
        "kafka",
    ]


def test_every_operation_is_listed_with_its_options() -> None:
    listed = dict(
        re.findall(
            r"^\| `(\w+)` \| (.*?) \|",
            (DOCS / "reference" / "operations.md").read_text(),
            re.MULTILINE,
        )
    )
    operations = {
        get_args(model.model_fields["op"].annotation)[0]: model
        for model in get_args(get_args(Operation)[0])
    }
    assert set(listed) - {"op"} == set(operations)
    for name, model in operations.items():
        assert {
            re.split(r"\W", option)[0] for option in re.findall(r"`([^`]+)`", listed[name])
        } == set(model.model_fields) - {"op"}
