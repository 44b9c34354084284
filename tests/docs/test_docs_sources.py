"""The documentation shows every source with a server, and lists every operation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from framework.features.operations import Operation

DOCS = Path(__file__).parents[2] / "docs"


def test_each_source_with_a_server_is_shown() -> None:
    page = (DOCS / "how-to" / "ingest.md").read_text()
    assert re.findall(r"override /source: (\w+)", page) == ["sql", "redis_stream", "kafka"]


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
